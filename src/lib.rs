//! orderstorm: load tests and benchmarks for order pipelines on RabbitMQ.

pub mod broker;
pub mod clock;
pub mod events;
pub mod ledger;
pub mod measure;
pub mod orders;
pub mod report;
pub mod results;
pub mod rng;
pub mod units;
pub mod workload;
