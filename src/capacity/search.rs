//! The search for the highest rate that holds, as a function of what the trials so far have answered.
//!
//! It brackets geometrically from a first guess, halves the bracket until it is narrow, and then repeats both of its edges:
//! a rate counts as held, or as not, when all of its repeats agree that could tell. What they disagree on is left between the
//! edges, which widens the interval. There is no state but the answers, so a search goes on from a record.

/// Lowest rate that is ever asked for, per second.
const RATE_MIN: f64 = 0.1;
/// Highest, per second.
const RATE_MAX: f64 = 1e6;
/// How much further each step of the bracketing goes than the one before; the last goes on.
const STEPS: [f64; 3] = [1.25, 1.5, 2.0];
/// Repeats beyond the asked ones, where some could not tell.
const MORE_REPEATS: u32 = 2;
/// Trials that measured nothing, after which a rate is given up.
const INVALID_MAX: u32 = 2;
/// Rates after which the search gives up if they say nothing, or contradict each other.
const ADRIFT_MAX: usize = 6;

/// What a trial says of its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It held.
    Held,
    /// It did not.
    Failed,
    /// The trial cannot tell.
    Undecided,
    /// The trial measured something else, such as its own driver.
    Invalid,
}

/// A trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Offered load, per second.
    pub rate: f64,
    /// What it said.
    pub answer: Answer,
}

/// What is asked of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Lowest rate of interest, per second.
    pub from: Option<f64>,
    /// Highest rate of interest, per second.
    pub to: Option<f64>,
    /// Width of the interval over its upper end, 0 to 1 (exclusive).
    pub resolution: f64,
    /// Repeats of an edge that must agree, at least 1.
    pub repeats: u32,
}

impl Bounds {
    fn lowest(&self) -> f64 {
        self.from.unwrap_or(RATE_MIN).max(RATE_MIN)
    }

    fn highest(&self) -> f64 {
        self.to.unwrap_or(RATE_MAX).min(RATE_MAX)
    }

    /// A rate as it is asked for: inside the limits, with no more digits than the resolution needs.
    fn round(&self, rate: f64) -> f64 {
        let digits = if self.resolution < 0.02 { 3 } else { 2 };
        let unit = 10_f64.powi(rate.log10().floor() as i32 - digits);
        // Two roundings hide the binary fraction: 0.3 is not 0.30000000000000004.
        let rounded = ((rate / unit).round() * unit * 1e6).round() / 1e6;
        rounded.clamp(self.lowest(), self.highest())
    }
}

/// What is known of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It holds, by most of its answers.
    Held,
    /// It does not.
    Failed,
    /// The answers disagree, or none could tell.
    Undecided,
    /// All its trials were invalid.
    Invalid,
}

/// All answers of a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Offered load, per second.
    pub rate: f64,
    /// Trials that said so.
    pub held: u32,
    /// Trials that said so.
    pub failed: u32,
    /// Trials that could not tell.
    pub undecided: u32,
    /// Trials that do not count.
    pub invalid: u32,
}

impl Point {
    /// Trials that count.
    pub fn valid(&self) -> u32 {
        self.held + self.failed + self.undecided
    }

    /// Answers of the more frequent kind.
    fn agreeing(&self) -> u32 {
        self.held.max(self.failed)
    }

    fn is_contradictory(&self) -> bool {
        self.held > 0 && self.failed > 0
    }

    /// Whether as many repeats as must agree do, none says the contrary, and most could tell.
    pub fn is_confirmed(&self, repeats: u32) -> bool {
        !self.is_contradictory() && self.agreeing() >= repeats && self.undecided < self.agreeing()
    }

    /// Whether further trials of this rate are of no use.
    fn is_settled(&self, repeats: u32) -> bool {
        let tells_nothing = self.undecided > 1 && self.undecided > self.agreeing();
        let given_up = self.valid() == 0 && self.invalid >= INVALID_MAX
            || self.valid() + self.invalid >= repeats + MORE_REPEATS + INVALID_MAX;
        self.is_confirmed(repeats) || self.is_contradictory() || tells_nothing || given_up
    }

    /// What is known of it; of a rate that is not settled yet, what most of its answers say.
    pub fn status(&self, repeats: u32) -> Status {
        if self.valid() == 0 {
            return Status::Invalid;
        }
        if self.is_settled(repeats) && !self.is_confirmed(repeats) {
            return Status::Undecided;
        }
        match () {
            () if self.held > self.failed + self.undecided => Status::Held,
            () if self.failed > self.held + self.undecided => Status::Failed,
            () => Status::Undecided,
        }
    }
}

/// The answers by rate, lowest first.
pub fn points(trials: &[Trial]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for trial in trials {
        let at = match points.iter().position(|point| point.rate == trial.rate) {
            Some(at) => at,
            None => {
                points.push(Point {
                    rate: trial.rate,
                    held: 0,
                    failed: 0,
                    undecided: 0,
                    invalid: 0,
                });
                points.len() - 1
            }
        };
        let point = &mut points[at];
        match trial.answer {
            Answer::Held => point.held += 1,
            Answer::Failed => point.failed += 1,
            Answer::Undecided => point.undecided += 1,
            Answer::Invalid => point.invalid += 1,
        }
    }
    points.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    points
}

/// One end of the interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// Offered load, per second.
    pub rate: f64,
    /// Its repeats agree.
    pub confirmed: bool,
}

/// Where the highest sustainable rate lies. What was tried and could not be decided lies inside.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Interval {
    /// The highest rate that held, below all that did not; absent if none did.
    pub low: Option<Edge>,
    /// The lowest rate that did not hold, above all that did; absent if each did.
    pub high: Option<Edge>,
    /// The lowest rate above `low` at which only the driver was measured; absent if there is none below `high`.
    pub driver: Option<f64>,
}

impl Interval {
    /// Width over the upper end, which may be where the driver gave out; absent with one end.
    pub fn width(&self) -> Option<f64> {
        let high = self.high.map(|edge| edge.rate).or(self.driver)?;
        Some((high - self.low?.rate) / high)
    }
}

/// The interval that the answers leave.
pub fn interval(bounds: &Bounds, trials: &[Trial]) -> Interval {
    Known::of(bounds, trials).interval
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The interval is as narrow as asked for, and both edges are confirmed.
    Found,
    /// The highest rate of interest held.
    AtLeast,
    /// The lowest rate of interest did not hold.
    NotMet,
    /// Above the rate that held only the driver could be measured.
    Driver,
    /// Rates inside the interval cannot be decided: it stays wider than asked for.
    Wide,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Run a trial at this rate, per second.
    Try(f64),
    /// Nothing more to find out.
    Done(Ending),
}

/// The next step after these trials. `start` is where to begin, per second.
pub fn step(bounds: &Bounds, start: f64, trials: &[Trial]) -> Step {
    let known = Known::of(bounds, trials);
    if known.points.is_empty() {
        return Step::Try(bounds.round(start.max(RATE_MIN)));
    }
    if let Some(rate) = known.contradiction() {
        return Step::Try(rate);
    }
    match (known.interval.low, known.interval.high) {
        (Some(low), Some(high)) => known.between(low, high),
        (Some(low), None) => known.above(low),
        (None, Some(high)) => known.below(high),
        (None, None) => known.adrift(),
    }
}

/// Everything that the answers say.
struct Known<'a> {
    bounds: &'a Bounds,
    points: Vec<Point>,
    interval: Interval,
}

impl<'a> Known<'a> {
    fn of(bounds: &'a Bounds, trials: &[Trial]) -> Self {
        let points = points(trials);
        let of = |status: Status| {
            points
                .iter()
                .filter(move |point| point.status(bounds.repeats) == status)
        };
        let (lowest_failed, highest_held) = (of(Status::Failed).next(), of(Status::Held).next_back());
        let edge = |point: &Point| Edge {
            rate: point.rate,
            confirmed: point.is_confirmed(bounds.repeats),
        };
        let low = of(Status::Held)
            .rev()
            .find(|held| lowest_failed.is_none_or(|failed| held.rate < failed.rate));
        let high = of(Status::Failed).find(|failed| highest_held.is_none_or(|held| held.rate < failed.rate));
        let driver = of(Status::Invalid).find(|invalid| {
            low.is_some_and(|low| low.rate < invalid.rate) && high.is_none_or(|high| invalid.rate < high.rate)
        });
        let interval = Interval {
            low: low.map(edge),
            high: high.map(edge),
            driver: driver.map(|point| point.rate),
        };
        Known {
            bounds,
            interval,
            points,
        }
    }

    fn is_settled(&self, point: &Point) -> bool {
        point.is_settled(self.bounds.repeats)
    }

    /// The edge whose repeats are still missing, or how it ended.
    fn confirm(&self, edges: &[Edge], ending: Ending) -> Step {
        let open = edges.iter().filter(|edge| !edge.confirmed);
        let open = open.filter_map(|edge| self.points.iter().find(|point| point.rate == edge.rate));
        let fewest = open
            .filter(|point| !self.is_settled(point))
            .min_by_key(|point| point.valid());
        fewest.map_or(Step::Done(ending), |point| Step::Try(point.rate))
    }

    /// Of a rate that held above one that did not, the one that is asked again.
    fn contradiction(&self) -> Option<f64> {
        let repeats = self.bounds.repeats;
        let failed = self
            .points
            .iter()
            .find(|point| point.status(repeats) == Status::Failed)?;
        let held = self
            .points
            .iter()
            .rfind(|point| point.status(repeats) == Status::Held)?;
        if held.rate < failed.rate {
            return None;
        }
        let open = [failed, held].into_iter().filter(|point| !self.is_settled(point));
        open.min_by_key(|point| point.valid()).map(|point| point.rate)
    }

    /// A rate in the middle of two, if they are further apart than asked for.
    fn middle(&self, low: f64, high: f64) -> Option<f64> {
        let middle = self.bounds.round((low * high).sqrt());
        ((high - low) / high > self.bounds.resolution && low < middle && middle < high).then_some(middle)
    }

    fn between(&self, low: Edge, high: Edge) -> Step {
        let inside: Vec<&Point> = self
            .points
            .iter()
            .filter(|point| low.rate < point.rate && point.rate < high.rate)
            .collect();
        if let Some(open) = inside.iter().find(|point| !self.is_settled(point)) {
            return Step::Try(open.rate);
        }
        let first = inside.first().map_or(high.rate, |point| point.rate);
        let last = inside.last().map_or(low.rate, |point| point.rate);
        let mut gaps = [(low.rate, first), (last, high.rate)];
        gaps.sort_by(|a, b| (b.1 / b.0).total_cmp(&(a.1 / a.0)));
        if let Some(middle) = gaps.into_iter().find_map(|(from, to)| self.middle(from, to)) {
            return Step::Try(middle);
        }
        let narrow = (high.rate - low.rate) / high.rate <= self.bounds.resolution;
        self.confirm(&[low, high], if narrow { Ending::Found } else { Ending::Wide })
    }

    /// Everything that could be told has held.
    fn above(&self, low: Edge) -> Step {
        let above: Vec<&Point> = self.points.iter().filter(|point| point.rate > low.rate).collect();
        let invalid = above
            .iter()
            .position(|point| point.status(self.bounds.repeats) == Status::Invalid);
        let top = self.points[self.points.len() - 1];
        let (to, ending) = match invalid {
            Some(at) => (Some(at), Ending::Driver),
            None if top.rate < self.bounds.highest() => return Step::Try(self.further_up(top.rate)),
            None if above.is_empty() => return self.confirm(&[low], Ending::AtLeast),
            None => (Some(above.len() - 1), Ending::Wide),
        };
        let until = &above[..=to.unwrap_or_default()];
        if let Some(open) = until.iter().find(|point| !self.is_settled(point)) {
            return Step::Try(open.rate);
        }
        match self.middle(low.rate, until[0].rate) {
            Some(middle) => Step::Try(middle),
            None => self.confirm(&[low], ending),
        }
    }

    /// Nothing has held.
    fn below(&self, high: Edge) -> Step {
        let bottom = self.points[0];
        if bottom.rate > self.bounds.lowest() {
            return Step::Try(self.further_down(bottom.rate));
        }
        if bottom.rate == high.rate {
            return self.confirm(&[high], Ending::NotMet);
        }
        match self.points.iter().find(|point| !self.is_settled(point)) {
            Some(open) if open.rate < high.rate => Step::Try(open.rate),
            _ => self.confirm(&[high], Ending::Wide),
        }
    }

    /// There is neither a rate that held below all that did not, nor one that did not hold above all that did.
    fn adrift(&self) -> Step {
        if let Some(open) = self.points.iter().find(|point| !self.is_settled(point)) {
            return Step::Try(open.rate);
        }
        let (bottom, top) = (self.points[0], self.points[self.points.len() - 1]);
        let is = |point: &Point, status: Status| point.status(self.bounds.repeats) == status;
        let measured_itself = is(&bottom, Status::Invalid);
        match () {
            () if self.points.len() >= ADRIFT_MAX => Step::Done(Ending::Wide),
            // Every rate that held lies above one that did not, and the other way round: both ends are further out.
            () if is(&bottom, Status::Failed) && bottom.rate > self.bounds.lowest() => {
                Step::Try(self.further_down(bottom.rate))
            }
            () if measured_itself && bottom.rate > self.bounds.lowest() => Step::Try(self.further_down(bottom.rate)),
            // A rate that is too low carries no percentile.
            () if !measured_itself && top.rate < self.bounds.highest() => Step::Try(self.further_up(top.rate)),
            () => Step::Done(Ending::Wide),
        }
    }

    fn factor(&self) -> f64 {
        STEPS[(self.points.len() - 1).min(STEPS.len() - 1)]
    }

    fn further_up(&self, rate: f64) -> f64 {
        self.bounds.round(rate * self.factor())
    }

    fn further_down(&self, rate: f64) -> f64 {
        self.bounds.round(rate / self.factor())
    }
}

/// A further rate for the curves, once the search is over: the lowest of interest, then the middle of the widest gap up to a
/// tenth above the interval; absent when `wanted` rates are there, or nothing has held.
pub fn further(bounds: &Bounds, trials: &[Trial], wanted: usize) -> Option<f64> {
    /// The lowest rate of a curve, as a share of the highest sustainable one.
    const LOWEST_SHARE: f64 = 0.2;
    /// The highest.
    const HIGHEST_SHARE: f64 = 1.1;
    let known = Known::of(bounds, trials);
    if known.points.len() >= wanted {
        return None;
    }
    let edge = known.interval.high.or(known.interval.low)?.rate;
    known.interval.low?;
    let (bottom, top) = (bounds.round(edge * LOWEST_SHARE), edge * HIGHEST_SHARE);
    let rates: Vec<f64> = known
        .points
        .iter()
        .map(|point| point.rate)
        .filter(|rate| *rate <= top)
        .collect();
    let first = *rates.first()?;
    if first > bottom * HIGHEST_SHARE {
        return Some(bottom);
    }
    let gaps = rates.windows(2).map(|pair| (pair[0], pair[1]));
    let (low, high) = gaps.max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)))?;
    let middle = bounds.round((low + high) / 2.0);
    (low < middle && middle < high).then_some(middle)
}

#[cfg(test)]
mod tests;
