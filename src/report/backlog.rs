//! What people read of a backlog that built up while a stage was held back.

use super::human;
use crate::results::record::BacklogRecord;

/// How it built up and cleared, in a sentence.
pub fn sentence(backlog: &BacklogRecord) -> String {
    let stage = backlog.stage;
    let (Some(returned_s), Some(messages)) = (backlog.returned_s, backlog.messages) else {
        return format!("{stage} was held back and had not returned when the trial ended");
    };
    let arrivals = match backlog.arrivals_stopped {
        Some(true) => "arrivals stopped",
        _ => "arrivals going on",
    };
    let away = human::seconds(returned_s - backlog.held_s.max(0.0));
    let start = format!(
        "{stage} was held back for {away}; its backlog of {} ({arrivals})",
        human::plural(messages, "message")
    );
    let Some(time_s) = backlog.drain_time_s else {
        return format!("{start} was not cleared");
    };
    let rate = backlog
        .drain_rate_per_s
        .map_or(String::new(), |rate| format!(" at {}", human::rate(rate)));
    let ideal = match (backlog.ideal_time_s, backlog.ratio_to_ideal) {
        (Some(ideal_s), Some(ratio)) => format!(", {ratio:.2} times the ideal {}", human::seconds(ideal_s)),
        _ => String::new(),
    };
    format!("{start} was cleared in {}{rate}{ideal}", human::seconds(time_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_sentence_says_how_long_it_took_and_how_long_it_should_have() {
        let record = fixture::failed();
        let mut backlog = record.trials[0].backlog.clone().expect("a backlog");
        let text = sentence(&backlog);
        for part in [
            "payment was held back for 10.0 s",
            "5,000 messages (arrivals going on)",
            "in 5.10 s",
            "1.02 times the ideal",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        (backlog.drain_time_s, backlog.ideal_time_s) = (None, None);
        assert!(sentence(&backlog).ends_with("was not cleared"));
        backlog.returned_s = None;
        assert!(sentence(&backlog).contains("had not returned"));
    }
}
