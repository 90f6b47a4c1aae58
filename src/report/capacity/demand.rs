//! The demand curve: for each load the least resource that holds, as Theodolite has it (Henning and Hasselbring, "A configurable
//! method for benchmarking scalability of cloud-native applications", Empirical Software Engineering 27, 2022).

use crate::results::capacity::{CapacityRecord, CapacitySetting};

/// The demand for a resource, with everything else alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// The varied key.
    pub resource: String,
    /// What else is varied, as it is here; empty if nothing is.
    pub others: String,
    /// Lowest load first.
    pub rows: Vec<DemandRow>,
}

/// What a load demands.
#[derive(Debug, Clone, PartialEq)]
pub struct DemandRow {
    /// Orders per second.
    pub load_per_s: f64,
    /// The least value at which this load, or more, held; absent if none did.
    pub certain: Option<String>,
    /// The least value at which this load was not seen to fail: the interval's other end; absent if it failed at each.
    pub possible: Option<String>,
}

impl Demand {
    /// `Demand for stage.payment.consumers at prefetch 10`.
    pub fn title(&self) -> String {
        match self.others.as_str() {
            "" => format!("Demand for {}", self.resource),
            others => format!("Demand for {} at {others}", self.resource),
        }
    }
}

/// The position of the varied dimension that is a resource: the first whose values are numbers in every setting, of which there
/// are at least two.
pub(in crate::report) fn resource(capacity: &CapacityRecord) -> Option<usize> {
    let first = capacity.settings.first()?;
    (0..first.varied.len()).find(|at| {
        let numbers: Option<Vec<f64>> = capacity
            .settings
            .iter()
            .map(|setting| setting.varied[*at].number)
            .collect();
        numbers.is_some_and(|numbers| numbers.iter().any(|number| *number != numbers[0]))
    })
}

/// The settings that differ in the resource alone, by what else they are, least resource first.
pub(in crate::report) fn groups(capacity: &CapacityRecord) -> Vec<(String, Vec<&CapacitySetting>)> {
    let Some(resource) = resource(capacity) else {
        return Vec::new();
    };
    let mut groups: Vec<(String, Vec<&CapacitySetting>)> = Vec::new();
    for setting in &capacity.settings {
        let others = setting.varied.iter().enumerate().filter(|(at, _)| *at != resource);
        let others: Vec<String> = others
            .map(|(_, varied)| format!("{} {}", varied.dimension, varied.value))
            .collect();
        let others = others.join(", ");
        match groups.iter_mut().find(|(known, _)| *known == others) {
            Some((_, settings)) => settings.push(setting),
            None => groups.push((others, vec![setting])),
        }
    }
    let number = |setting: &CapacitySetting| setting.varied[resource].number.unwrap_or(0.0);
    for (_, settings) in &mut groups {
        settings.sort_by(|a, b| number(a).total_cmp(&number(b)));
    }
    groups
}

/// The demand curves of a search; none where no resource was varied.
pub fn demands(capacity: &CapacityRecord) -> Vec<Demand> {
    let Some(resource) = resource(capacity) else {
        return Vec::new();
    };
    let name = capacity.settings[0].varied[resource].dimension.clone();
    let demand = |(others, settings): (String, Vec<&CapacitySetting>)| {
        let edges = settings
            .iter()
            .flat_map(|setting| [setting.low_per_s, setting.high_per_s]);
        let mut loads: Vec<f64> = edges.flatten().collect();
        loads.sort_by(f64::total_cmp);
        loads.dedup();
        let least = |holds: &dyn Fn(&CapacitySetting) -> bool| {
            let first = settings.iter().find(|setting| holds(setting));
            first.map(|setting| setting.varied[resource].value.clone())
        };
        let rows = loads.into_iter().map(|load_per_s| DemandRow {
            load_per_s,
            certain: least(&|setting| setting.low_per_s.is_some_and(|low| low >= load_per_s)),
            possible: least(&|setting| setting.high_per_s.is_none_or(|high| high > load_per_s)),
        });
        Demand {
            resource: name.clone(),
            others,
            rows: rows.collect(),
        }
    };
    groups(capacity).into_iter().map(demand).collect()
}
