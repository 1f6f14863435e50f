//! Rows to ClickHouse: encoding and spooling, delivery, and a backlog.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::convert::Infallible;
use std::error::Error;

use lowtide_aggregate::window::Closed;
use lowtide_benches::figures::cpu_time;
use lowtide_benches::rows::windows;
use lowtide_store::recorder::{Draft, Recorded, Recorder, SegmentSink};
use lowtide_store::run::{Kind, RunKey};

struct Null(u64);

impl SegmentSink for Null {
    type Error = Infallible;
    fn put(&mut self, draft: &Draft<'_>) -> Result<(), Infallible> {
        self.0 += draft.block.len() as u64;
        let _ = std::fs::write(
            format!("/tmp/w/blocks/{}-{:04}.native", draft.table, draft.sequence),
            draft.block,
        );
        let _ = std::fs::write("/tmp/w/blocks/cols", draft.columns.join(","));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let closed: Vec<Closed> = windows(1_000_000);
    let rows: usize = closed.iter().flat_map(|c| &c.windows).map(|w| w.rows().len()).sum();
    println!("{rows} rows");
    let key = RunKey { sensor: "bench".to_owned(), run: "bench".to_owned(), kind: Kind::Replay };
    let mut recorder = Recorder::new(key, vec!["bench".to_owned()], 100_000, Null(0));
    let marks = closed.len() / 16;
    let (time, _) = cpu_time(|| {
        for _ in 0..marks {
            let _ = recorder.record(Recorded::Coverage(Vec::new()));
        }
        for closed in closed {
            let _ = recorder.record(Recorded::Windows(closed));
        }
        let _ = recorder.cut();
    });
    let r = recorder.rows();
    println!("{:?} {} octets {:?}", time, recorder.sink().0, r);
    Ok(())
}
