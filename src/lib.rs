//! orderstorm: load tests and benchmarks for order pipelines on RabbitMQ.
//!
//! The way of a run: a workload file becomes a [`workload::Workload`], that becomes a [`plan::Plan`] of trials, and each
//! trial goes through provision → declare → warm up → measure → drain → verify → persist ([`runner`]) into a run folder
//! ([`results`]), from which everything that is shown is made ([`report`], [`compare`]).
//!
//! Layers; imports go downward only, and FIELD and DESK meet in the run folder alone (docs/ARCHITECTURE.md, held by
//! `tests/architecture.rs`):
//!
//! | layer | modules | may use |
//! |---|---|---|
//! | conductor | `runner`, `ui`, `cli` | everything |
//! | desk | `results`, `sizing`, `report`, `compare` | engines, words |
//! | field | `tally`, `timer`, `proxy`, `amqp`, `wire`, `broker`, `load`, `pipeline`, `fault`, `sample` | engines, words |
//! | engines | `arrival`, `measure`, `ledger`, `plan`, `queueing`, `stats`, `capacity` | words |
//! | words | `units`, `clock`, `rng`, `events`, `orders`, `workload` | each other |

pub mod amqp;
pub mod arrival;
pub mod broker;
pub mod capacity;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod events;
pub mod fault;
pub mod ledger;
pub mod load;
pub mod measure;
pub mod orders;
pub mod pipeline;
pub mod plan;
pub mod proxy;
pub mod queueing;
pub mod report;
pub mod results;
pub mod rng;
pub mod runner;
pub mod sample;
pub mod sizing;
pub mod stats;
pub mod tally;
pub mod timer;
pub mod ui;
pub mod units;
pub mod wire;
pub mod workload;
