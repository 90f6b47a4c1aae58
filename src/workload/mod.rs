//! Workload files: one file, one experiment.
//!
//! [`mod@file`] reads TOML and `--set` into settings that know where they were written; [`keys`] is the one table of every key
//! (type, range, default, meaning); [`check`] turns the settings into a [`model::Workload`] or into the list of everything
//! that is wrong with them ([`replay`] reads the file that one of them may name); [`schema`] prints the table for editors. Nothing here touches a broker.

pub mod check;
pub mod file;
pub mod keys;
pub mod model;
pub mod pattern;
pub mod problem;
pub mod reference;
pub mod replay;
pub mod schema;

pub use check::{Checked, Origin, Setting, WorkloadError, load};
pub use model::Workload;
