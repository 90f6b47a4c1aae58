//! placeholder
use crate::results::record::RunRecord;
/// x
pub enum Style {
    /// x
    Plain,
}
/// x
pub fn end_of_run(_r: &RunRecord, _s: Style) -> String {
    String::new()
}
