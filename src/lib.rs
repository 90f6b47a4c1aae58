//! orderstorm: load tests and benchmarks for order pipelines on RabbitMQ.

pub mod amqp;
pub mod arrival;
pub mod broker;
pub mod clock;
pub mod events;
pub mod fault;
pub mod ledger;
pub mod load;
pub mod measure;
pub mod orders;
pub mod pipeline;
pub mod plan;
pub mod results;
pub mod rng;
pub mod sample;
pub mod timer;
pub mod units;
pub mod wire;
pub mod workload;
