//! What the configuration promises, and whether the ledger found it kept.
//!
//! The configuration decides what is a failure: automatic acknowledgement may lose, a stage that remembers nothing may
//! repeat. A breach of what is promised fails the run; a breach of what is not is reported with the setting that would have
//! prevented it.

use serde::{Deserialize, Serialize};

use super::settle::LedgerReport;
use crate::clock::Nanos;
use crate::events::{PipelineKind, Stage};
use crate::workload::Workload;
use crate::workload::model::{
    AckMode, BadKind, GiveUp, Overflow, Placement, Publishing, QueueType, RetryPolicy, StoreKind,
};

/// From a broker that sends a message just before it expires to the consumer that takes it, on a busy machine.
const ON_THE_WAY_NS: Nanos = 250_000_000;

/// The outcome of a check; merging keeps the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Kept.
    Pass,
    /// It cannot be told: the drain did not end, or nothing was confirmed.
    Unknown,
    /// Broken.
    Fail,
}

impl Verdict {
    /// `pass`, `unknown` or `fail`.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Unknown => "unknown",
            Verdict::Fail => "fail",
        }
    }
}

/// One promise with its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromiseReport {
    /// Its name.
    pub name: String,
    /// What it says.
    pub statement: String,
    /// Why the configuration does not give it; absent when it does. Only given promises decide the run's verdict.
    pub not_given_because: Option<String>,
    /// Whether it was kept.
    pub verdict: Verdict,
    /// Times that it was broken.
    pub breaches: u64,
    /// What was found.
    pub finding: String,
    /// Which examples of the ledger's report show it.
    pub examples: Vec<String>,
}

/// What the field saw beside the ledger.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The pipeline ran empty by the deadline.
    pub drained: bool,
    /// Deliveries that a consumer held beyond its prefetch.
    pub prefetch_exceeded: u64,
    /// By how much the latest delivery of a stage came after its message's time to live, counted from the publish,
    /// nanoseconds; stages without one are absent.
    pub overstays: Vec<(Stage, Nanos)>,
    /// Longest time from a publish to its confirm, nanoseconds: no message came into its queue later than that. Absent
    /// without confirms.
    pub slowest_confirm: Option<Nanos>,
    /// Deliveries that stages rejected for a cause of their own: malformed, or calling for what cannot be routed; absent where
    /// nobody counted.
    pub rejected: Option<u64>,
    /// Messages that stages put into dead-letter queues themselves, having failed at them; absent where nobody counted.
    pub given_up: Option<u64>,
    /// What became of the messages that the load made bad on purpose; none where it made none.
    pub bad_messages: Vec<BadMessage>,
    /// Consumers that were not back at the end, by stage; absent where nothing had taken any away.
    pub consumers_missing: Option<Vec<(Stage, u32)>>,
    /// Faults of the script that were planned, and the positions (from 1) of those that struck nobody; absent without a script.
    pub faults: Option<(u32, Vec<u32>)>,
    /// Objects of the run that were found on the broker after the clean-up; absent where nobody can look.
    pub left_behind: Option<u64>,
}

/// Messages that the load made bad on purpose, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMessage {
    /// What is wrong with them.
    pub kind: BadKind,
    /// … that the broker confirmed and routed.
    pub confirmed: u64,
    /// … that came back as unroutable.
    pub returned: u64,
    /// Queues that each of them reaches.
    pub queues: u64,
}

/// Checks every promise.
pub fn judge(workload: &Workload, report: &LedgerReport, observed: &Observed) -> Vec<PromiseReport> {
    let judge = Judge {
        workload,
        report,
        observed,
    };
    let mut promises = vec![judge.nothing_lost(), judge.nothing_twice()];
    if workload.pipeline == PipelineKind::Orders {
        promises.extend([
            judge.charged_once(),
            judge.stock_balances(),
            judge.all_audited(),
            judge.all_notified(),
        ]);
    }
    promises.extend([
        judge.nothing_unfinished(),
        judge.causes_first(),
        judge.dead_letters_explained(),
    ]);
    promises.extend(judge.retry_limit_kept());
    promises.extend(judge.bad_messages_set_aside());
    promises.extend(judge.losses_explained());
    promises.extend(judge.ttl_respected());
    promises.extend(judge.prefetch_respected());
    promises.extend(judge.consumers_back());
    promises.extend(judge.faults_struck());
    promises.extend(judge.nothing_left_behind());
    promises
}

/// What the configuration promises, before anything has happened: the promises with their reasons, and no findings.
pub fn promised(workload: &Workload) -> Vec<PromiseReport> {
    let ledger = match workload.pipeline {
        PipelineKind::Orders => super::Ledger::new(workload.orders.items, workload.orders.stock_per_item),
        PipelineKind::WorkQueue => super::Ledger::work_queue(),
    };
    judge(
        workload,
        &ledger.settle(&super::Residue::default(), &[]),
        &Observed::default(),
    )
}

struct Judge<'a> {
    workload: &'a Workload,
    report: &'a LedgerReport,
    observed: &'a Observed,
}

/// The parts of a promise's report that its check supplies.
struct Finding<'a> {
    name: &'a str,
    statement: &'a str,
    not_given_because: Option<String>,
    breaches: u64,
    finding: String,
    examples: &'a [&'a str],
    /// Whether an unfinished drain leaves the answer open.
    needs_drain: bool,
}

impl Judge<'_> {
    fn conclude(&self, finding: Finding<'_>) -> PromiseReport {
        let open = finding.needs_drain && !(self.observed.drained && self.report.residue_complete);
        let nothing_happened = self.report.placed == 0;
        let verdict = match finding.breaches {
            0 if open || nothing_happened => Verdict::Unknown,
            // What is missing may lie where nobody could look.
            _ if finding.needs_drain && !self.report.residue_complete => Verdict::Unknown,
            0 => Verdict::Pass,
            _ => Verdict::Fail,
        };
        PromiseReport {
            name: finding.name.to_owned(),
            statement: finding.statement.to_owned(),
            not_given_because: finding.not_given_because,
            verdict,
            breaches: finding.breaches,
            finding: finding.finding,
            examples: finding
                .examples
                .iter()
                .map(|kind| (*kind).to_owned())
                .filter(|kind| self.report.examples.contains_key(kind))
                .collect(),
        }
    }

    /// Why an accepted message may vanish on its way through one of `stages`.
    fn may_lose(&self, stages: &[Stage]) -> Option<String> {
        self.may_lose_unseen(stages)
            .or_else(|| stages.iter().find_map(|stage| self.workload.may_drop(*stage)))
    }

    /// As above, by other ways than a queue that drops.
    fn may_lose_unseen(&self, stages: &[Stage]) -> Option<String> {
        if !self.workload.publish.confirms {
            return Some("publish.confirms = false: nobody knows what the broker took".to_owned());
        }
        if !self.workload.publish.mandatory {
            return Some("publish.mandatory = false: an unroutable message is confirmed and gone".to_owned());
        }
        let mut stages = stages.iter();
        if let Some(automatic) = stages.find(|stage| self.workload.stage(**stage).ack == AckMode::Auto) {
            return Some(format!(
                "stage.{automatic}.ack = \"auto\": what is in flight to a consumer is lost with it"
            ));
        }
        if let Some(lost) = self.lost_with_broker() {
            return Some(lost);
        }
        let given_up = |stage: &&Stage| {
            let by_the_stage =
                self.workload.stage(**stage).errors.permanent.0 > 0.0 || !self.workload.broker_counts_retries(**stage);
            self.workload.may_fail(**stage) && by_the_stage && !self.workload.topology.dead_letter
        };
        if let Some(stage) = self.workload.pipeline.stages().iter().find(given_up) {
            return Some(format!(
                "topology.dead_letter = false: what the {stage} stage gives up is dropped"
            ));
        }
        // What one stage does not publish is missing at others.
        let mut publishing = self.workload.pipeline.stages().iter();
        let dual = publishing.find(|stage| self.workload.stage(**stage).publish == Publishing::DualWrite)?;
        Some(format!(
            "stage.{dual}.publish = \"dual-write\": an event that was committed and not published is lost (\"outbox\" or \"republish\" keep it)"
        ))
    }

    /// What is gone with a broker, or a node of it, that goes down, where a fault of the script takes it down. Quorum queues keep
    /// everything.
    fn lost_with_broker(&self) -> Option<String> {
        let (position, what) = self.workload.faults.that_takes_down()?;
        let stages = &self.workload.stages;
        if stages.iter().all(|settings| settings.queue.kind == QueueType::Quorum) {
            return None;
        }
        let because = if !self.workload.topology.durable {
            "topology.durable = false: a transient queue is gone with its messages"
        } else if !self.workload.publish.persistent {
            "publish.persistent = false: a transient message in a queue is lost"
        } else {
            return self.unrouted_meanwhile();
        };
        Some(format!(
            "{because} when the broker goes down (fault {position}, {what})"
        ))
    }

    /// A classic queue lives on one node. While that is away the others route nothing to it, and confirm what another queue got.
    fn unrouted_meanwhile(&self) -> Option<String> {
        let (position, what) = self.workload.faults.that_takes_node_down()?;
        let mut stages = self.workload.pipeline.stages().iter();
        let classic = stages.find(|stage| self.workload.stage(**stage).queue.kind == QueueType::Classic)?;
        Some(format!(
            "stage.{classic}.queue_type = \"classic\": what is published while the queue's node is away is not routed to it (fault {position}, {what}); \"quorum\" keeps it on the others"
        ))
    }

    /// Messages that the queues of `stages` may drop and never delivered.
    fn dropped(&self, stages: &[Stage]) -> u64 {
        let counts = self.report.stages.iter();
        counts
            .filter(|counts| stages.contains(&counts.stage))
            .map(|counts| counts.dropped)
            .sum()
    }

    fn may_repeat(&self, stages: &[Stage]) -> Option<String> {
        let kept_in = |kind: StoreKind| {
            stages
                .iter()
                .filter(move |stage| self.workload.stage(**stage).store == kind)
        };
        if let Some(forgetful) = kept_in(StoreKind::None).next() {
            return Some(format!(
                "stage.{forgetful}.store = \"none\": an effect may repeat at a redelivery"
            ));
        }
        let mortal = kept_in(StoreKind::Memory).find(|stage| self.is_mortal(**stage))?;
        Some(format!(
            "stage.{mortal}.store = \"memory\" in worker processes: an effect may repeat when one of them dies (a durable store remembers it)"
        ))
    }

    /// Whether a stage's memory may be gone in the middle of a trial.
    fn is_mortal(&self, stage: Stage) -> bool {
        let settings = self.workload.stage(stage);
        settings.placement == Placement::Process && !settings.store.is_durable()
    }

    /// Why an order may end twice, or go on after its end.
    fn may_end_twice(&self) -> Option<String> {
        let stock_dies = self.workload.pipeline == PipelineKind::Orders && self.is_mortal(Stage::Inventory);
        let stock = stock_dies.then(|| {
            "stage.inventory.store in the memory of a worker process: the stock is as full as at the start when it dies"
                .to_owned()
        });
        self.may_repeat(&[self.last()]).or(stock)
    }

    /// The stages without which an order does not end.
    const fn chain(&self) -> &'static [Stage] {
        match self.workload.pipeline {
            PipelineKind::Orders => &[
                Stage::Order,
                Stage::Inventory,
                Stage::Payment,
                Stage::Shipping,
                Stage::Customer,
            ],
            PipelineKind::WorkQueue => &[Stage::Worker],
        }
    }

    /// The stage at which an order ends.
    const fn last(&self) -> Stage {
        match self.workload.pipeline {
            PipelineKind::Orders => Stage::Order,
            PipelineKind::WorkQueue => Stage::Worker,
        }
    }

    fn nothing_lost(&self) -> PromiseReport {
        let fates = &self.report.fates;
        let bound = if self.report.confirmed > 0 {
            format!("; 0 in {n} bounds the rate at 3/{n} (95 %)", n = self.report.confirmed)
        } else {
            String::new()
        };
        self.conclude(Finding {
            name: "nothing_lost",
            statement: "each confirmed order comes to an end or can be found in a queue or dead-letter queue",
            not_given_because: self.may_lose(self.chain()),
            breaches: fates.lost + fates.dropped,
            finding: format!(
                "{} of {} confirmed orders lost{}",
                fates.lost,
                self.report.confirmed,
                match (fates.lost, fates.dropped) {
                    (0, 0) => bound,
                    (_, 0) => String::new(),
                    (_, dropped) => format!(", {dropped} dropped by a queue that may"),
                }
            ),
            examples: &["lost", "dropped"],
            needs_drain: true,
        })
    }

    fn nothing_twice(&self) -> PromiseReport {
        let repeated = self.report.duplicate_effect;
        self.conclude(Finding {
            name: "nothing_twice",
            statement: "each effect happens at most once per order",
            not_given_because: self.may_repeat(self.workload.pipeline.stages()),
            breaches: repeated,
            finding: format!("{repeated} orders with a repeated effect"),
            examples: &["duplicate_effect"],
            needs_drain: false,
        })
    }

    fn charged_once(&self) -> PromiseReport {
        let LedgerReport {
            charged_again,
            captured_cents,
            due_cents,
            ..
        } = self.report;
        let breaches = (*charged_again).max(u64::from(captured_cents != due_cents));
        self.conclude(Finding {
            name: "charged_once",
            statement: "each paid order is charged once, at its price",
            not_given_because: self.may_repeat(&[Stage::Payment]),
            breaches,
            finding: format!(
                "{charged_again} charges too many; captured {captured_cents} cents, due {due_cents} cents"
            ),
            examples: &["charged_again"],
            needs_drain: false,
        })
    }

    fn stock_balances(&self) -> PromiseReport {
        let stock = &self.report.stock;
        // After a full drain no order is waiting for its payment, so nothing may be reserved, unless an order broke off.
        let broken_off = self.report.fates.total() - self.report.fates.completed - self.report.fates.cancelled()
            + self.report.unfinished
            + self.report.set_aside
            + self.dropped(&[Stage::Inventory]);
        let stranded = self.observed.drained && broken_off == 0 && stock.reserved > 0;
        self.conclude(Finding {
            name: "stock_balances",
            statement: "reserved plus sold never exceed the stock, and the books of inventory and ledger agree",
            not_given_because: self.may_repeat(&[Stage::Inventory]),
            breaches: stock.orders_oversold + stock.underflows + stock.items_differing + u64::from(stranded),
            finding: format!(
                "{} orders oversold, {} unbacked movements, {} items on which the books differ; {} pieces sold, {} still reserved",
                stock.orders_oversold, stock.underflows, stock.items_differing, stock.sold, stock.reserved
            ),
            examples: &["oversold"],
            needs_drain: false,
        })
    }

    fn all_audited(&self) -> PromiseReport {
        let gaps = self.report.not_audited;
        self.conclude(Finding {
            name: "all_audited",
            statement: "audit records every event of each order that came to its end",
            not_given_because: self.may_lose(&[Stage::Audit]),
            breaches: gaps + self.dropped(&[Stage::Audit]),
            finding: format!(
                "{gaps} orders with a gap in the audit trail{}",
                also_dropped(self.dropped(&[Stage::Audit]))
            ),
            examples: &["not_audited"],
            needs_drain: true,
        })
    }

    fn all_notified(&self) -> PromiseReport {
        let gaps = self.report.not_notified;
        self.conclude(Finding {
            name: "all_notified",
            statement: "each status of an ended order is notified by e-mail and by SMS",
            not_given_because: self.may_lose(&[Stage::Notification, Stage::Email, Stage::Sms]),
            breaches: gaps + self.dropped(&[Stage::Notification, Stage::Email, Stage::Sms]),
            finding: format!(
                "{gaps} orders with a notification missing{}",
                also_dropped(self.dropped(&[Stage::Notification, Stage::Email, Stage::Sms]))
            ),
            examples: &["not_notified"],
            needs_drain: true,
        })
    }

    fn nothing_unfinished(&self) -> PromiseReport {
        let unfinished = self.report.unfinished;
        self.conclude(Finding {
            name: "nothing_unfinished",
            statement: "an order at its end has left no step of the pipeline undone",
            not_given_because: self.may_lose(self.chain()),
            breaches: unfinished,
            finding: format!("{unfinished} ended orders with a step undone"),
            examples: &["unfinished"],
            needs_drain: true,
        })
    }

    fn causes_first(&self) -> PromiseReport {
        let causeless = self.report.causeless;
        self.conclude(Finding {
            name: "causes_first",
            statement: "no effect, answer or end comes without its cause, and no order ends twice",
            not_given_because: self.may_end_twice(),
            breaches: causeless,
            finding: format!("{causeless} without a cause"),
            examples: &["causeless"],
            needs_drain: false,
        })
    }

    fn dead_letters_explained(&self) -> PromiseReport {
        let letters = &self.report.dead_letters;
        let all: u64 = letters.iter().map(|(_, _, count)| count).sum();
        let bare: u64 = letters
            .iter()
            .filter(|(_, reason, _)| reason.is_none())
            .map(|(_, _, count)| count)
            .sum();
        let strange: u64 = letters
            .iter()
            .filter(|(queue, reason, _)| reason.as_ref().is_some_and(|reason| !self.may_die(queue, reason)))
            .map(|(_, _, count)| count)
            .sum();
        let rejected: u64 = letters
            .iter()
            .filter(|(_, reason, _)| reason.as_deref() == Some("rejected"))
            .map(|(_, _, count)| count)
            .sum();
        let own = [GiveUp::PermanentError, GiveUp::RetryLimit].map(GiveUp::name);
        let given_up: u64 = letters
            .iter()
            .filter(|(_, reason, _)| reason.as_deref().is_some_and(|reason| own.contains(&reason)))
            .map(|(_, _, count)| count)
            .sum();
        let beyond = |found: u64, caused: Option<u64>| caused.map_or(0, |caused| found.saturating_sub(caused));
        let causeless = beyond(rejected, self.observed.rejected) + beyond(given_up, self.observed.given_up);
        let without_cause = match causeless {
            0 => String::new(),
            n => format!(", {n} rejected or given up without a cause"),
        };
        self.conclude(Finding {
            name: "dead_letters_explained",
            statement: "each dead letter bears its history (x-death, or a reason of its stage) with a reason that the settings allow, and a rejection had a cause",
            not_given_because: None,
            breaches: bare + strange + causeless,
            finding: format!(
                "{bare} of {all} dead letters without a history, {strange} with a reason that the settings do not give{without_cause}"
            ),
            examples: &[],
            needs_drain: false,
        })
    }

    /// Whether a message may die for `reason` in the queue of the stage whose dead-letter queue this is.
    fn may_die(&self, dead_letter_queue: &str, reason: &str) -> bool {
        let mut stages = self.workload.pipeline.stages().iter().copied();
        let stage = match self.workload.pipeline {
            PipelineKind::Orders => stages.find(|stage| dead_letter_queue.ends_with(&format!("{stage}.dead-letter"))),
            PipelineKind::WorkQueue => Some(Stage::Worker),
        };
        let Some(stage) = stage else { return true };
        let queue = &self.workload.stage(stage).queue;
        match reason {
            "expired" => self.workload.time_to_live(stage).is_some(),
            "maxlen" => queue.is_bounded() && queue.overflow != Overflow::RejectPublish,
            "delivery_limit" => queue.kind == QueueType::Quorum,
            "permanent_error" => self.workload.stage(stage).errors.permanent.0 > 0.0,
            "retry_limit" => self.workload.retries(stage).is_some(),
            _ => true,
        }
    }

    /// Where handlers fail for a cause that passes.
    fn retry_limit_kept(&self) -> Option<PromiseReport> {
        let mut stages = self.workload.pipeline.stages().iter();
        stages.find(|stage| self.workload.retries(**stage).is_some())?;
        let beyond = self.report.beyond_retry_limit;
        let cut_off = self.observed.faults.is_some() || self.observed.consumers_missing.is_some();
        let copies = self.workload.messages.duplicates.0 > 0.0;
        let mut stages = self.workload.pipeline.stages().iter();
        // Who counts in its own memory does not know of the attempts of another process.
        let apart = stages.find(|stage| {
            let requeues = self.workload.retries(**stage) == Some(RetryPolicy::Requeue);
            requeues && self.workload.stage(**stage).processes > 1 && !self.workload.broker_counts_retries(**stage)
        });
        let not_given_because = match (cut_off, copies) {
            _ if apart.is_some() => {
                Some("retry.policy = \"requeue\" in several processes: each counts its own attempts".to_owned())
            }
            (true, _) => {
                Some("a consumer that is cut off between retry and acknowledgement leaves the message twice".to_owned())
            }
            (_, true) => Some("messages.duplicates: each copy has its own attempts".to_owned()),
            _ => None,
        };
        Some(self.conclude(Finding {
            name: "retry_limit_kept",
            statement: "no message is tried more often than once and the retry limit",
            not_given_because,
            breaches: beyond,
            finding: format!("{beyond} messages tried more often"),
            examples: &["beyond_retry_limit"],
            needs_drain: false,
        }))
    }

    /// Where the load made messages bad on purpose. Without dead-letter queues nobody can look where they are.
    fn bad_messages_set_aside(&self) -> Option<PromiseReport> {
        let dead_letter = self.workload.topology.dead_letter;
        let bad = &self.observed.bad_messages;
        if bad.is_empty() || !self.workload.publish.confirms {
            return None;
        }
        let (mut breaches, mut published, mut parts) = (0, 0, Vec::new());
        for one in bad {
            published += one.confirmed + one.returned;
            if one.kind == BadKind::Unroutable {
                // Without mandatory it is confirmed and gone.
                let silent = if self.workload.publish.mandatory {
                    one.confirmed
                } else {
                    0
                };
                breaches += silent;
                parts.push(format!("{} unroutable came back", one.returned));
                continue;
            }
            let found = self.report.bad_dead_letters.get(&one.kind).copied().unwrap_or(0);
            if dead_letter {
                breaches += (one.confirmed * one.queues).saturating_sub(found);
                parts.push(format!("{found} of {} {}", one.confirmed * one.queues, one.kind.name()));
            }
        }
        Some(self.conclude(Finding {
            name: "bad_messages_set_aside",
            statement: "each bad message is in the dead-letter queue of every stage that got it, and an unroutable one came back",
            not_given_because: (!dead_letter)
                .then(|| "topology.dead_letter = false: what is rejected is dropped".to_owned()),
            breaches,
            finding: format!("{published} published; dead letters: {}", parts.join(", ")),
            examples: &[],
            needs_drain: true,
        }))
    }

    /// Where queues may drop messages, what is missing must be theirs: never delivered by one of them, and no more than the
    /// broker says they dropped.
    fn losses_explained(&self) -> Option<PromiseReport> {
        let stages = self.workload.pipeline.stages();
        stages.iter().find_map(|stage| self.workload.may_drop(*stage))?;
        let report = self.report;
        let dropped = self.dropped(stages);
        let beyond = report
            .dropped_by_broker
            .map_or(0, |counted| dropped.saturating_sub(counted));
        let elsewhere = report.fates.lost + report.not_audited + report.not_notified + report.unfinished;
        let says = match report.dropped_by_broker {
            Some(counted) => format!("the broker counts {counted}"),
            None => "the broker does not tell how many".to_owned(),
        };
        Some(self.conclude(Finding {
            name: "losses_explained",
            statement: "what is missing was dropped by a queue that may drop, and by no other way",
            not_given_because: self.may_lose_unseen(stages),
            breaches: elsewhere + beyond,
            finding: format!(
                "{dropped} messages dropped ({says}); beside them {} missing",
                elsewhere + beyond
            ),
            examples: &["lost", "not_audited", "not_notified", "unfinished"],
            needs_drain: true,
        }))
    }

    /// A message expires no earlier than it came into its queue, and that was before its confirm.
    fn ttl_respected(&self) -> Option<PromiseReport> {
        let slowest = self.observed.slowest_confirm?;
        let (stage, worst) = self.observed.overstays.iter().max_by_key(|(_, overstay)| *overstay)?;
        let allowed = slowest + ON_THE_WAY_NS;
        let late = self
            .observed
            .overstays
            .iter()
            .filter(|(_, overstay)| *overstay > allowed);
        let ms = |ns: Nanos| ns as f64 / 1e6;
        Some(self.conclude(Finding {
            name: "ttl_respected",
            statement: "no message is delivered after its time to live",
            not_given_because: None,
            breaches: late.count() as u64,
            finding: if *worst == 0 {
                "each message came within its time to live".to_owned()
            } else {
                format!(
                    "the latest came to {stage} {:.0} ms after its time to live, counted from its publish; {:.0} ms may go to publish and delivery",
                    ms(*worst),
                    ms(allowed)
                )
            },
            examples: &[],
            needs_drain: false,
        }))
    }

    /// Where no consumer has a prefetch there is nothing to respect.
    fn prefetch_respected(&self) -> Option<PromiseReport> {
        let limited = self
            .workload
            .stages
            .iter()
            .any(|settings| settings.prefetch.is_some() && settings.ack == AckMode::Manual);
        let exceeded = self.observed.prefetch_exceeded;
        limited.then(|| {
            self.conclude(Finding {
                name: "prefetch_respected",
                statement: "no consumer holds more deliveries than its prefetch",
                not_given_because: None,
                breaches: exceeded,
                finding: format!("{exceeded} deliveries beyond the prefetch"),
                examples: &[],
                needs_drain: false,
            })
        })
    }

    /// A stage left without its consumers is a finding, whatever became of the orders.
    fn consumers_back(&self) -> Option<PromiseReport> {
        let missing = self.observed.consumers_missing.as_ref()?;
        let named: Vec<String> = missing
            .iter()
            .map(|(stage, missing)| format!("{missing} of {} at {stage}", self.workload.stage(*stage).consumers))
            .collect();
        Some(self.conclude(Finding {
            name: "consumers_back",
            statement: "whoever lost a connection, a channel or a subscription consumes again at the end",
            not_given_because: None,
            breaches: missing.iter().map(|(_, missing)| u64::from(*missing)).sum(),
            finding: if named.is_empty() {
                "every stage has all its consumers".to_owned()
            } else {
                format!("consumers missing: {}", named.join(", "))
            },
            examples: &[],
            needs_drain: false,
        }))
    }

    /// A planned fault that struck nobody leaves open what it would have done.
    fn faults_struck(&self) -> Option<PromiseReport> {
        let (planned, missed) = self.observed.faults.as_ref()?;
        let mut report = self.conclude(Finding {
            name: "faults_struck",
            statement: "each fault of the script struck at least once",
            not_given_because: None,
            breaches: 0,
            finding: match missed.as_slice() {
                [] => format!("all {planned} of the script struck"),
                missed => format!(
                    "{} of {planned} struck nobody: number {}",
                    missed.len(),
                    missed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ),
            },
            examples: &[],
            needs_drain: false,
        });
        if !missed.is_empty() {
            report.verdict = Verdict::Unknown;
        }
        Some(report)
    }

    fn nothing_left_behind(&self) -> Option<PromiseReport> {
        let left = self.observed.left_behind?;
        Some(self.conclude(Finding {
            name: "nothing_left_behind",
            statement: "the run leaves no object of its own on the broker",
            not_given_because: None,
            breaches: left,
            finding: format!("{left} objects left"),
            examples: &[],
            needs_drain: false,
        }))
    }
}

/// For a finding that counts what is missing: what was dropped besides.
fn also_dropped(messages: u64) -> String {
    match messages {
        0 => String::new(),
        _ => format!(", and {messages} messages dropped by a queue that may"),
    }
}
