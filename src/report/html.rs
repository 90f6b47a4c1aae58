//! placeholder
use super::chart::Picture;
use crate::results::record::RunRecord;
/// x
pub fn page(_record: &RunRecord, _charts: &[Picture]) -> String {
    String::new()
}
