//! orderstorm: load tests and benchmarks for order pipelines on RabbitMQ.

pub mod broker;
