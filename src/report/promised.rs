//! What a configuration promises, before the run: said so that nobody has to find out from a loss.

use crate::ledger::{PromiseReport, promised};
use crate::workload::Workload;

/// The promises of each cell (its label and its workload), one line for all cells that promise the same, and below it a line for
/// each promise that is not given, with the setting that withholds it.
pub fn lines<'a>(cells: impl Iterator<Item = (&'a str, &'a Workload)>) -> Vec<String> {
    let mut groups: Vec<(Vec<&str>, Vec<PromiseReport>)> = Vec::new();
    for (label, workload) in cells {
        let promises = promised(workload);
        match groups.iter_mut().find(|(_, known)| *known == promises) {
            Some((labels, _)) => labels.push(label),
            None => groups.push((vec![label], promises)),
        }
    }
    let alone = groups.len() == 1;
    groups
        .iter()
        .flat_map(|(labels, promises)| group(labels, promises, alone))
        .collect()
}

fn group(labels: &[&str], promises: &[PromiseReport], alone: bool) -> Vec<String> {
    let whose = match labels {
        _ if alone => String::new(),
        [only] => format!(" ({only})"),
        [first, rest @ ..] => format!(" ({first}, and {} more)", rest.len()),
        [] => String::new(),
    };
    let given = promises.iter().filter(|promise| promise.not_given_because.is_none());
    let given: Vec<&str> = given.map(|promise| promise.name.as_str()).collect();
    let mut lines = vec![format!("promised{whose}: {}", given.join(", "))];
    lines.extend(promises.iter().filter_map(|promise| {
        let because = promise.not_given_because.as_ref()?;
        Some(format!("  not promised: {}, because of {because}", promise.name))
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::check::check;

    fn workload(settings: &[&str]) -> Workload {
        let overrides: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let checked = check("a.toml", "a", String::new(), &overrides).unwrap_or_else(|error| panic!("{error}"));
        checked.into_first().workload
    }

    #[test]
    fn what_is_not_promised_bears_the_setting_that_withholds_it() {
        let (safe, auto) = (workload(&[]), workload(&["stage.payment.ack=auto"]));
        let said = lines([("", &safe)].into_iter());
        assert!(
            said[0].starts_with("promised: nothing_lost, nothing_twice") && said.len() == 1,
            "{said:#?}"
        );
        let said = lines([("manual", &safe), ("auto", &auto)].into_iter());
        assert!(said[0].starts_with("promised (manual): nothing_lost"), "{said:#?}");
        assert!(said[1].starts_with("promised (auto): nothing_twice"), "{said:#?}");
        assert!(
            said[2].contains("not promised: nothing_lost, because of stage.payment.ack = \"auto\""),
            "{said:#?}"
        );
    }
}
