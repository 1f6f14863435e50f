//! Numbers at random for tests, the same in each run.

/// Draws numbers below the one that is asked for.
pub(super) fn draws() -> impl FnMut(usize) -> usize {
    let mut state = 7_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}
