//! Rows to ClickHouse and back: the schema and its versions, segments, the spool, delivery, queries.

pub mod coverage;
pub mod deliver;
pub mod drain;
mod months;
pub mod native;
pub mod prepare;
pub mod read;
pub mod recorder;
pub mod run;
pub mod schema;
pub mod segment;
pub mod sensor_run;
pub mod server;
pub mod spool;
pub mod traffic;
