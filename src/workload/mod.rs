//! Workload files: one file, one experiment.
//!
//! [`mod@file`] reads TOML and `--set` into settings that know where they were written; [`keys`] is the one table of every key
//! (type, range, default, meaning); [`matrix`] makes the cells of what is varied; [`check`] turns the settings of each cell
//! into a [`model::Workload`] or into the list of everything that is wrong with them ([`replay`] reads the file
//! that one of them may name); [`schema`] prints the table for editors. Nothing here touches a broker.

pub mod check;
pub mod file;
pub mod keys;
pub mod matrix;
pub mod model;
pub mod objective;
pub mod pattern;
pub mod problem;
pub mod reference;
pub mod replay;
pub mod schema;

pub use check::{Checked, CheckedCell, Origin, Setting, WorkloadError, load};
pub use model::Workload;
