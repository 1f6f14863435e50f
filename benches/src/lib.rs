//! What the benchmarks share: traffic to measure on, the pipeline in one thread, and figures in tables.
//!
//! The benchmarks run on a capture that is named, or that lies beside the project, or that [`Traffic`] makes; see
//! [`Input`].

pub mod clock;
pub mod figures;
pub mod frame;
pub mod frames;
pub mod http;
pub mod input;
pub mod machine;
pub mod message;
pub mod netns;
pub mod pipeline;
pub mod program;
pub mod random;
pub mod rows;
pub mod sender;
pub mod sensor;
pub mod steady;
pub mod traffic;
pub mod wire;

pub use input::{Input, Options};
pub use traffic::Traffic;
