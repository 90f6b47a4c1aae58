//! The ledger's checks: each accepts a clean history and rejects the same one with a planted fault.

#[path = "ledger/model.rs"]
mod model;

use model::{CENTS, Due, LINES, Model, Way, broken, drained, emptied, judged, named, workload};
use orderstorm::events::{Event, PipelineKind, Stage};
use orderstorm::ledger::{
    BadMessage, Drops, EXAMPLES_MAX, ItemBook, LedgerReport, Observed, PublishFate, Residue, Verdict, judge, promised,
};
use orderstorm::workload::model::BadKind;
use proptest::prelude::*;

const NONE: [&str; 0] = [];

/// Three orders, one of each kind.
fn three(mut model: Model) -> Model {
    for (number, way) in [(0, Way::Paid), (1, Way::Declined), (2, Way::OutOfStock)] {
        model.order(number, way);
    }
    model
}

fn trails(report: &LedgerReport, kind: &str) -> Vec<u64> {
    let trails = report.examples.get(kind).map(Vec::as_slice).unwrap_or_default();
    trails.iter().map(|trail| trail.order).collect()
}

fn left(queued: &[u64], dead: &[u64]) -> Residue {
    Residue {
        queued: queued.iter().copied().collect(),
        dead: dead.iter().copied().collect(),
        ..emptied()
    }
}

/// An order that came as far as payment and no further.
fn stuck(model: &mut Model, number: u64) {
    model.skipped.insert((Stage::Payment, Event::InventoryReserved));
    model.order(number, Way::Paid);
    model.skipped.clear();
}

#[test]
fn a_clean_history_keeps_every_promise_and_leaves_no_record() {
    let model = three(Model::new(Some(10)));
    let report = model.report();
    let fates = &report.fates;
    assert_eq!(
        (model.ledger.open(), model.ledger.awaited(), model.ledger.ended()),
        (0, 0, 3)
    );
    assert_eq!(
        (
            fates.completed,
            fates.cancelled_payment_declined,
            fates.cancelled_out_of_stock
        ),
        (1, 1, 1)
    );
    assert_eq!((report.captured_cents, report.due_cents), (CENTS, CENTS));
    assert_eq!((report.stock.sold, report.stock.reserved), (2, 0));
    let promises = judged(&report, &drained());
    assert!(
        promises.iter().all(|promise| promise.verdict == Verdict::Pass),
        "{promises:#?}"
    );
    assert!(report.examples.is_empty());
}

#[test]
fn a_closed_order_leaves_no_record_however_many_there_are() {
    let mut model = Model::new(None);
    for number in 0..5_000 {
        model.order(number, [Way::Paid, Way::Declined, Way::OutOfStock][number as usize % 3]);
        assert_eq!(model.ledger.open(), 0);
        assert!(model.ledger.is_closed(number) && !model.ledger.is_closed(number + 1));
    }
    assert_eq!((model.report().fates.total(), model.broken()), (5_000, vec![]));
}

#[test]
fn a_confirmed_order_that_is_nowhere_is_lost() {
    let mut model = three(Model::new(None));
    stuck(&mut model, 3);
    let report = model.report();
    assert_eq!(
        (report.fates.lost, report.fates.total(), trails(&report, "lost")),
        (1, 4, vec![3])
    );
    assert_eq!(report.examples["lost"][0].missing, ["payment: inventory.reserved"]);
    assert_eq!(model.broken(), ["nothing_lost"]);
    assert_eq!(named(&judged(&report, &drained()), "nothing_lost").breaches, 1);
}

#[test]
fn a_dead_lettered_or_still_queued_order_is_not_lost() {
    for (residue, fate) in [
        (left(&[], &[3]), (1, 0)),
        (left(&[3], &[]), (0, 1)),
        (left(&[3], &[3]), (1, 0)),
    ] {
        let mut model = three(Model::new(None));
        stuck(&mut model, 3);
        let report = model.report_with(&residue);
        assert_eq!((report.fates.dead_lettered, report.fates.still_queued), fate);
        assert_eq!((report.fates.lost, report.fates.total()), (0, 4));
        assert_eq!(broken(&judged(&report, &drained())), NONE);
    }
}

#[test]
fn an_unfinished_drain_leaves_open_what_it_would_have_shown() {
    let model = three(Model::new(None));
    let incomplete = model.report_with(&Residue::default());
    for (report, observed) in [(model.report(), Observed::default()), (incomplete, drained())] {
        let promises = judged(&report, &observed);
        for name in ["nothing_lost", "all_audited", "all_notified", "nothing_unfinished"] {
            assert_eq!(named(&promises, name).verdict, Verdict::Unknown, "{name}");
        }
        for name in ["nothing_twice", "charged_once", "stock_balances", "causes_first"] {
            assert_eq!(
                named(&promises, name).verdict,
                Verdict::Pass,
                "{name}: no drain can mend a breach of safety"
            );
        }
        assert_eq!(broken(&promises), NONE);
    }
}

#[test]
fn a_confirmed_order_is_not_called_lost_where_nobody_could_look() {
    let mut model = three(Model::new(None));
    stuck(&mut model, 3);
    let report = model.report_with(&Residue::default());
    assert_eq!(
        (report.fates.lost, report.fates.unknown, report.fates.total()),
        (0, 1, 4)
    );
    assert_eq!(trails(&report, "unknown"), [3]);
    let promises = judged(&report, &Observed::default());
    assert_eq!(named(&promises, "nothing_lost").verdict, Verdict::Unknown);
    let model = three(Model::that_skips(Stage::Audit, Event::OrderPaid));
    let promises = judged(&model.report_with(&Residue::default()), &Observed::default());
    assert_eq!(named(&promises, "all_audited").verdict, Verdict::Unknown);
}

#[test]
fn an_order_that_is_in_no_queue_is_lost_even_if_the_drain_was_not_finished() {
    let mut model = three(Model::new(None));
    stuck(&mut model, 3);
    assert_eq!(broken(&judged(&model.report(), &Observed::default())), ["nothing_lost"]);
}

#[test]
fn nothing_placed_proves_nothing() {
    let promises = judged(&Model::new(None).report(), &drained());
    assert!(
        promises.iter().all(|promise| promise.verdict == Verdict::Unknown),
        "{promises:#?}"
    );
}

#[test]
fn an_order_that_the_broker_did_not_take_is_not_lost() {
    for (fate, at) in [
        (PublishFate::Nacked, (1, 0, 0)),
        (PublishFate::Returned, (0, 1, 0)),
        (PublishFate::Unknown, (0, 0, 1)),
    ] {
        let model = three(Model::new(None));
        model.ledger.placed(3, 1_000, 1_500, CENTS);
        model.ledger.answered(3, fate);
        assert_eq!(
            (model.ledger.open(), model.ledger.awaited()),
            (1, 0),
            "{fate:?} obliges nobody"
        );
        let report = model.report();
        assert_eq!((report.fates.nacked, report.fates.returned, report.fates.unknown), at);
        assert_eq!(
            (report.fates.lost, report.fates.total(), model.broken()),
            (0, 4, vec![]),
            "{fate:?}"
        );
    }
}

#[test]
fn an_order_without_an_answer_is_unknown_and_still_awaited() {
    let model = three(Model::new(None));
    model.ledger.placed(3, 1_000, 1_500, CENTS);
    assert_eq!(model.ledger.awaited(), 1);
    let report = model.report();
    assert_eq!(
        (report.unanswered, report.fates.unknown, model.broken()),
        (1, 1, vec![])
    );
}

#[test]
fn an_unconfirmed_order_that_ends_is_recovered() {
    for fate in [PublishFate::Unknown, PublishFate::Nacked, PublishFate::Returned] {
        let mut model = Model::new(None);
        model.answer = fate;
        let model = three(model);
        let report = model.report();
        assert_eq!(
            (report.confirmed, report.recovered, report.fates.completed),
            (0, 3, 1),
            "{fate:?}"
        );
        assert_eq!((model.ledger.open(), model.broken()), (0, vec![]), "{fate:?}");
        let verdict = named(&judged(&report, &drained()), "nothing_lost").verdict;
        assert_eq!(verdict, Verdict::Pass, "{fate:?}");
    }
}

#[test]
fn an_answer_after_the_end_closes_the_order() {
    let mut model = Model::new(None);
    let last = |len: usize| len - 1;
    let mut due = model.place(0);
    due.retain(|next| *next != Due::Answer);
    while !due.is_empty() {
        let next = due.remove(last(due.len()));
        model.happens(0, Way::Paid, next, &mut due);
    }
    assert_eq!((model.ledger.ended(), model.ledger.open()), (1, 1));
    model.ledger.answered(0, PublishFate::Confirmed);
    assert_eq!((model.ledger.open(), model.broken()), (0, vec![]));
}

#[test]
fn a_repeated_effect_before_the_close_is_found() {
    for (stage, event, way) in [
        (Stage::Audit, Event::OrderCreated, Way::Paid),
        (Stage::Sms, Event::OrderCancelled, Way::Declined),
        (Stage::Shipping, Event::PaymentSuccess, Way::Paid),
    ] {
        let mut model = Model::that_repeats(stage, event);
        model.order(7, way);
        let report = model.report();
        assert_eq!(
            (report.duplicate_effect, trails(&report, "duplicate_effect")),
            (1, vec![7]),
            "{stage} {event}"
        );
        assert_eq!(model.broken(), ["nothing_twice"], "{stage} {event}");
    }
}

#[test]
fn a_repeated_effect_after_the_close_is_found_once_per_order() {
    let model = three(Model::new(None));
    for _ in 0..3 {
        model.ledger.effect(0, Stage::Audit, Event::OrderPaid);
    }
    let report = model.report();
    assert_eq!(
        (report.duplicate_effect, trails(&report, "duplicate_effect")),
        (1, vec![0])
    );
    let repeated: u64 = report.effects.iter().map(|effect| effect.repeated).sum();
    assert_eq!((repeated, model.broken()), (3, vec!["nothing_twice".to_owned()]));
}

#[test]
fn a_second_charge_is_found_before_and_after_the_close() {
    let mut early = Model::that_repeats(Stage::Payment, Event::InventoryReserved);
    early.order(4, Way::Paid);
    let report = early.report();
    assert_eq!((report.charged_again, trails(&report, "charged_again")), (1, vec![4]));
    assert_eq!(early.broken(), ["nothing_twice", "charged_once"]);
    let late = three(Model::new(None));
    late.ledger.charged(0, CENTS);
    assert_eq!(late.broken(), ["charged_once"]);
}

#[test]
fn a_wrong_price_is_found() {
    for cents in [CENTS - 1, CENTS + 1] {
        let model = three(Model::new(None));
        model.ledger.placed(3, 1_000, 1_500, CENTS);
        model.ledger.charged(3, cents);
        model.ledger.answered(3, PublishFate::Nacked);
        assert_eq!(model.broken(), ["charged_once"], "{cents} instead of {CENTS}");
    }
}

#[test]
fn a_reservation_beyond_the_stock_is_found_even_if_it_is_put_back() {
    let mut model = Model::new(Some(2));
    model.order(0, Way::Paid);
    assert_eq!(model.broken(), NONE, "the last pieces may be sold");
    model.order(1, Way::Declined);
    let report = model.report();
    assert_eq!(
        (report.stock.orders_oversold, trails(&report, "oversold")),
        (1, vec![1])
    );
    assert_eq!(model.broken(), ["stock_balances"]);
}

#[test]
fn a_second_commit_is_found() {
    let mut model = three(Model::new(None));
    model.ledger.committed(&LINES);
    model.inventory[0].sold += 2;
    assert_eq!(model.report().stock.underflows, 1);
    assert_eq!(model.broken(), ["stock_balances"]);
}

#[test]
fn a_stranded_reservation_is_found_unless_its_order_broke_off() {
    let mut model = three(Model::new(None));
    model.ledger.reserved(0, &LINES);
    model.inventory[0].reserved += 2;
    assert_eq!(model.broken(), ["stock_balances"]);
    let mut model = three(Model::new(None));
    stuck(&mut model, 3);
    let report = model.report_with(&left(&[], &[3]));
    assert_eq!(report.stock.reserved, 2);
    assert_eq!(
        broken(&judged(&report, &drained())),
        NONE,
        "a dead-lettered order keeps its pieces"
    );
}

#[test]
fn a_book_of_inventory_that_differs_is_found() {
    for book in [
        vec![ItemBook { reserved: 0, sold: 3 }],
        vec![],
        vec![ItemBook::default(); 2],
    ] {
        let mut model = three(Model::new(None));
        model.inventory = book;
        assert_eq!(model.broken(), ["stock_balances"], "{:?}", model.inventory);
    }
}

#[test]
fn a_gap_in_the_audit_trail_is_found() {
    for event in [Event::OrderCreated, Event::InventoryCommitted, Event::OrderCompleted] {
        let model = three(Model::that_skips(Stage::Audit, event));
        let report = model.report();
        assert!(
            report.not_audited >= 1 && trails(&report, "not_audited").contains(&0),
            "{event}"
        );
        assert_eq!(model.broken(), ["all_audited"], "{event}");
    }
}

#[test]
fn a_missing_notification_is_found() {
    for stage in [Stage::Notification, Stage::Email, Stage::Sms] {
        let model = three(Model::that_skips(stage, Event::OrderCancelled));
        let report = model.report();
        assert_eq!(
            (report.not_notified, trails(&report, "not_notified")),
            (2, vec![1, 2]),
            "{stage}"
        );
        assert_eq!(model.broken(), ["all_notified"], "{stage}");
    }
}

#[test]
fn of_an_order_that_was_never_confirmed_what_its_own_publish_called_for_is_not_missed() {
    for (stage, event, excused) in [
        (Stage::Notification, Event::OrderCreated, true),
        (Stage::Audit, Event::OrderCreated, true),
        // The notification was delivered, and what it published was confirmed to it.
        (Stage::Email, Event::OrderCreated, false),
        (Stage::Notification, Event::OrderCompleted, false),
        (Stage::Audit, Event::InventoryReserved, false),
    ] {
        let mut model = Model::that_skips(stage, event);
        model.answer = PublishFate::Unknown;
        let report = three(model).report();
        let missed = report.not_notified + report.not_audited;
        assert_eq!((missed == 0, report.confirmed), (excused, 0), "{stage}: {event}");
    }
}

#[test]
fn what_a_broker_takes_along_is_not_promised_where_a_fault_takes_it_down() {
    let why = |settings: &[&str]| {
        let promises = promised(&workload(settings));
        let lost = promises.into_iter().find(|promise| promise.name == "nothing_lost");
        lost.expect("always judged").not_given_because
    };
    let kill = ["faults.1.what=broker-kill", "faults.1.at=1s"];
    let killed = |more: &[&str]| why(&[&kill[..], more].concat());
    assert_eq!((why(&["publish.persistent=false"]), killed(&[])), (None, None));
    for setting in ["publish.persistent", "topology.durable"] {
        let because = killed(&[&format!("{setting}=false")]).expect("not given");
        assert!(
            because.contains(setting) && because.contains("fault 1, broker-kill"),
            "{because}"
        );
    }
    let quorum = [
        "pipeline=work-queue",
        "stage.worker.queue_type=quorum",
        "publish.persistent=false",
    ];
    assert_eq!(killed(&quorum), None, "a quorum queue keeps every message on its disk");
}

#[test]
fn an_unfinished_step_of_an_ended_order_is_found() {
    let model = three(Model::that_skips(Stage::Inventory, Event::PaymentFailed));
    let report = model.report();
    assert_eq!((report.unfinished, trails(&report, "unfinished")), (1, vec![1]));
    assert_eq!(report.examples["unfinished"][0].missing, ["inventory: payment.failed"]);
    assert_eq!(
        model.broken(),
        ["nothing_unfinished"],
        "the pieces that it still holds are its consequence"
    );
}

#[test]
fn a_message_found_in_a_queue_explains_what_an_ended_order_lacks() {
    for residue in [left(&[1], &[]), left(&[], &[1])] {
        let model = three(Model::that_skips(Stage::Email, Event::PaymentFailed));
        assert_eq!(model.broken(), NONE);
        let model = three(Model::that_skips(Stage::Audit, Event::PaymentFailed));
        assert_eq!(model.broken(), ["all_audited"]);
        assert_eq!(broken(&judged(&model.report_with(&residue), &drained())), NONE);
    }
}

#[test]
fn what_comes_without_its_cause_is_found() {
    let causeless: [fn(&Model); 7] = [
        |model| model.ledger.effect(99, Stage::Audit, Event::OrderCreated),
        |model| model.ledger.answered(99, PublishFate::Confirmed),
        |model| model.ledger.attempted(99, Event::OrderPaid),
        |model| assert_eq!(model.ledger.emitted(99, Event::OrderPaid, 1), None),
        |model| model.ledger.answered(0, PublishFate::Confirmed),
        |model| model.ledger.placed(0, 1, 2, CENTS),
        |model| {
            model.ledger.placed(3, 1, 2, CENTS);
            model.ledger.answered(3, PublishFate::Nacked);
            model.ledger.effect(3, Stage::Payment, Event::InventoryReserved);
        },
    ];
    for (case, happens) in causeless.into_iter().enumerate() {
        let model = three(Model::new(None));
        happens(&model);
        let report = model.report();
        assert_eq!(
            (report.causeless, model.broken()),
            (1, vec!["causes_first".to_owned()]),
            "case {case}"
        );
        assert_eq!(report.fates.total(), report.placed, "case {case}");
        assert_eq!(trails(&report, "causeless").len(), 1, "case {case}");
    }
}

#[test]
fn a_second_end_is_found_and_counts_as_no_end() {
    let model = three(Model::new(None));
    model.ledger.attempted(0, Event::OrderCancelled);
    assert_eq!(model.ledger.emitted(0, Event::OrderCancelled, 10), None);
    assert_eq!(
        (model.report().fates.total(), model.broken()),
        (3, vec!["causes_first".to_owned()])
    );
    // And while the order is still open.
    let mut model = Model::that_skips(Stage::Audit, Event::OrderCompleted);
    model.order(0, Way::Paid);
    model.ledger.attempted(0, Event::OrderCancelled);
    assert_eq!(model.ledger.emitted(0, Event::OrderCancelled, 10), None);
    let report = model.report();
    assert_eq!(
        (report.fates.completed, report.fates.cancelled(), report.causeless),
        (1, 0, 2),
        "it has no cause, and it is a second end"
    );
}

#[test]
fn the_same_end_published_once_more_is_no_second_end() {
    let model = three(Model::new(None));
    for (number, end) in [(0, Event::OrderCompleted), (1, Event::OrderCancelled)] {
        model.ledger.attempted(number, end);
        assert_eq!(model.ledger.emitted(number, end, 10), None);
    }
    assert_eq!(model.broken(), NONE);
}

#[test]
fn a_state_that_is_reached_before_its_time_is_found() {
    let model = three(Model::new(None));
    model.ledger.placed(3, 0, 0, CENTS);
    model.ledger.attempted(3, Event::InventoryReserved);
    assert_eq!(model.report().causeless, 0);
    model.ledger.attempted(3, Event::OrderShipped);
    assert_eq!(model.broken(), ["causes_first"]);
}

#[test]
fn a_rejection_without_a_cause_is_found_and_one_with_a_cause_is_not() {
    let mut residue = emptied();
    residue
        .dead_letters
        .insert(("payment.dead-letter".to_owned(), Some("rejected".to_owned())), 2);
    let report = three(Model::new(None)).report_with(&residue);
    for (rejected, breaches) in [(Some(2), 0), (Some(0), 2), (None, 0)] {
        let observed = Observed { rejected, ..drained() };
        let promises = judged(&report, &observed);
        let found = promises.iter().find(|promise| promise.name == "dead_letters_explained");
        assert_eq!(found.map(|promise| promise.breaches), Some(breaches), "{rejected:?}");
    }
}

#[test]
fn a_stage_left_without_its_consumers_is_a_finding() {
    let report = three(Model::new(None)).report();
    for (missing, verdict) in [(vec![], Verdict::Pass), (vec![(Stage::Payment, 1)], Verdict::Fail)] {
        let observed = Observed {
            consumers_missing: Some(missing),
            ..drained()
        };
        let promises = judged(&report, &observed);
        let found = promises.iter().find(|promise| promise.name == "consumers_back");
        assert_eq!(found.map(|promise| promise.verdict), Some(verdict));
    }
}

#[test]
fn a_planned_fault_that_struck_nobody_leaves_the_verdict_open() {
    let report = three(Model::new(None)).report();
    for (missed, verdict) in [(vec![], Verdict::Pass), (vec![2], Verdict::Unknown)] {
        let observed = Observed {
            faults: Some((2, missed)),
            ..drained()
        };
        let promises = judged(&report, &observed);
        let found = promises.iter().find(|promise| promise.name == "faults_struck");
        assert_eq!(found.map(|promise| promise.verdict), Some(verdict));
    }
}

#[test]
fn a_message_that_was_given_up_without_a_cause_is_found() {
    let settings = ["stage.payment.errors=5%", "stage.payment.permanent_errors=5%"];
    for reason in ["retry_limit", "permanent_error"] {
        let mut residue = emptied();
        let letter = ("a.payment.dead-letter".to_owned(), Some(reason.to_owned()));
        residue.dead_letters.insert(letter, 2);
        let report = three(Model::new(None)).report_with(&residue);
        for (given_up, breaches) in [(Some(2), 0), (Some(1), 1), (None, 0)] {
            let observed = Observed { given_up, ..drained() };
            let promises = judge(&workload(&settings), &report, &observed);
            assert_eq!(named(&promises, "dead_letters_explained").breaches, breaches);
        }
        assert_eq!(
            broken(&judged(&report, &drained())),
            ["dead_letters_explained"],
            "no handler fails by these settings"
        );
    }
}

#[test]
fn a_message_that_is_tried_beyond_the_limit_is_found_once() {
    let settings = workload(&["stage.payment.errors=5%"]);
    let (stage, event) = (Stage::Payment, Event::InventoryReserved);
    for (attempts, breaches) in [(3, 0), (4, 1), (6, 1)] {
        let mut model = three(Model::new(None));
        stuck(&mut model, 3);
        (0..attempts).for_each(|_| model.ledger.failed(3, stage, event, 3));
        let report = model.report_with(&left(&[], &[3]));
        let promises = judge(&settings, &report, &drained());
        assert_eq!(named(&promises, "retry_limit_kept").breaches, breaches);
        assert_eq!(trails(&report, "beyond_retry_limit"), vec![3; breaches as usize]);
        let cut_off = Observed {
            faults: Some((1, vec![])),
            ..drained()
        };
        let promises = judge(&settings, &report, &cut_off);
        assert!(named(&promises, "retry_limit_kept").not_given_because.is_some());
    }
    let model = three(Model::new(None));
    (0..3).for_each(|_| model.ledger.failed(3, stage, event, 3));
    model.ledger.placed(3, 0, 0, CENTS);
    model.ledger.attempted(3, event);
    model.ledger.effect(3, stage, event);
    (0..3).for_each(|_| model.ledger.failed(3, stage, event, 3));
    assert_eq!(model.report().beyond_retry_limit, 0, "it succeeded in between");
}

#[test]
fn a_bad_message_that_is_in_no_dead_letter_queue_is_found() {
    let bad = |kind, confirmed, returned| BadMessage {
        kind,
        confirmed,
        returned,
        queues: 3,
    };
    for (messages, breaches) in [
        (vec![bad(BadKind::Malformed, 4, 0), bad(BadKind::Unroutable, 0, 2)], 0),
        (vec![bad(BadKind::Malformed, 5, 0)], 3),
        (vec![bad(BadKind::Oversize, 1, 0)], 3),
        (vec![bad(BadKind::Unroutable, 2, 1)], 2),
    ] {
        let mut residue = emptied();
        residue.bad_dead_letters.insert(BadKind::Malformed, 12);
        let report = three(Model::new(None)).report_with(&residue);
        let observed = Observed {
            bad_messages: messages.clone(),
            ..drained()
        };
        let found = judged(&report, &observed);
        assert_eq!(
            named(&found, "bad_messages_set_aside").breaches,
            breaches,
            "{messages:?}"
        );
    }
}

#[test]
fn an_ended_order_whose_commit_is_a_dead_letter_keeps_its_pieces() {
    let mut model = three(Model::new(None));
    model.skipped.insert((Stage::Inventory, Event::PaymentSuccess));
    model.order(3, Way::Paid);
    let report = model.report_with(&left(&[], &[3]));
    assert_eq!((report.stock.reserved, report.set_aside, report.unfinished), (2, 1, 0));
    assert_eq!(broken(&judged(&report, &drained())), NONE);
    assert_eq!(model.broken(), ["nothing_unfinished"], "it lies nowhere");
}

#[test]
fn a_dead_letter_without_its_history_is_found() {
    let dead = |reason: Option<&str>| {
        let mut residue = emptied();
        residue
            .dead_letters
            .insert(("q".to_owned(), reason.map(str::to_owned)), 2);
        residue.foreign_dead_letters = 2;
        residue
    };
    let model = three(Model::new(None));
    let explained = judged(&model.report_with(&dead(Some("rejected"))), &drained());
    assert_eq!(broken(&explained), NONE);
    let bare = judged(&model.report_with(&dead(None)), &drained());
    assert_eq!(broken(&bare), ["dead_letters_explained"]);
    assert_eq!(named(&bare, "dead_letters_explained").breaches, 2);
}

#[test]
fn a_prefetch_that_was_exceeded_is_found() {
    let report = three(Model::new(None)).report();
    let observed = |prefetch_exceeded| Observed {
        prefetch_exceeded,
        ..drained()
    };
    assert_eq!(broken(&judged(&report, &observed(0))), NONE);
    assert_eq!(broken(&judged(&report, &observed(1))), ["prefetch_respected"]);
    let stages: Vec<String> = PipelineKind::Orders
        .stages()
        .iter()
        .map(|stage| format!("stage.{stage}.prefetch=unlimited"))
        .collect();
    let stages: Vec<&str> = stages.iter().map(String::as_str).collect();
    let promises = judge(&workload(&stages), &report, &observed(0));
    assert!(
        promises.iter().all(|promise| promise.name != "prefetch_respected"),
        "nothing to respect"
    );
}

#[test]
fn what_is_left_behind_is_found_where_somebody_looked() {
    let report = three(Model::new(None)).report();
    for (left_behind, verdict) in [
        (None, None),
        (Some(0), Some(Verdict::Pass)),
        (Some(2), Some(Verdict::Fail)),
    ] {
        let observed = Observed {
            left_behind,
            ..drained()
        };
        let promises = judged(&report, &observed);
        let found = promises.iter().find(|promise| promise.name == "nothing_left_behind");
        assert_eq!(found.map(|promise| promise.verdict), verdict);
    }
}

#[test]
fn what_is_not_promised_does_not_fail_the_run_but_is_shown() {
    let mut lossy = three(Model::new(None));
    stuck(&mut lossy, 3);
    let gaps = three(Model::that_skips(Stage::Audit, Event::OrderCreated));
    let mute = three(Model::that_skips(Stage::Sms, Event::OrderCreated));
    let twice = three(Model::that_repeats(Stage::Payment, Event::InventoryReserved));
    for (model, setting, names) in [
        (&lossy, "publish.confirms=false", &["nothing_lost"][..]),
        (&lossy, "publish.mandatory=false", &["nothing_lost"]),
        (&lossy, "stage.payment.ack=auto", &["nothing_lost"]),
        (&lossy, "stage.payment.publish=dual-write", &["nothing_lost"]),
        (&gaps, "stage.audit.ack=auto", &["all_audited"]),
        (&mute, "stage.sms.ack=auto", &["all_notified"]),
        (&twice, "stage.payment.store=none", &["nothing_twice", "charged_once"]),
    ] {
        let promises = judge(&workload(&[setting]), &model.report(), &drained());
        assert_eq!(broken(&promises), NONE, "{setting}");
        for name in names {
            let promise = named(&promises, name);
            assert_eq!(
                promise.verdict,
                Verdict::Fail,
                "{setting}: {name} is reported all the same"
            );
            let (because, key) = (
                promise.not_given_because.as_ref(),
                setting.split('=').next().expect("a key"),
            );
            assert!(because.is_some_and(|why| why.contains(key)), "{setting}: {because:?}");
        }
        assert_eq!(model.broken(), names, "{setting}: a safer setting promises it");
    }
}

#[test]
fn of_many_breaches_ten_are_kept_as_examples() {
    let mut model = Model::that_skips(Stage::Audit, Event::OrderCreated);
    model.repeated.insert((Stage::Sms, Event::OrderCreated));
    model.repeated.insert((Stage::Payment, Event::InventoryReserved));
    for number in 0..50 {
        model.order(number, Way::Paid);
    }
    for number in 50..100 {
        stuck(&mut model, number);
        model.ledger.effect(1_000 + number, Stage::Audit, Event::OrderPaid);
    }
    let report = model.report();
    assert_eq!(
        (report.fates.lost, report.charged_again, report.causeless),
        (50, 50, 50)
    );
    for kind in ["lost", "duplicate_effect", "charged_again", "causeless"] {
        assert_eq!(trails(&report, kind).len(), EXAMPLES_MAX, "{kind}");
    }
    assert!(report.examples.values().all(|trails| trails.len() <= EXAMPLES_MAX));
}

#[test]
fn the_end_to_end_time_is_the_sum_of_its_parts() {
    let model = three(Model::new(None));
    assert!(
        model.report().residual_share.is_some_and(|share| share > 0.5),
        "nothing was accounted for"
    );
    let ledger = orderstorm::ledger::Ledger::new(1, None);
    ledger.placed(0, 100, 150, CENTS);
    ledger.accounted(0, 850);
    ledger.attempted(0, Event::OrderCompleted);
    let finished = ledger.emitted(0, Event::OrderCompleted, 1_000).expect("an end");
    assert_eq!(
        (finished.intended, finished.sent, finished.end),
        (100, 150, Event::OrderCompleted)
    );
    assert_eq!(
        ledger.settle(&emptied(), &[ItemBook::default()]).residual_share,
        Some(0.0)
    );
}

/// A call of the ledger's interface, sensible or not.
#[derive(Debug, Clone, Copy)]
enum Call {
    Placed,
    Answered(PublishFate),
    Attempted(Event),
    Emitted(Event),
    Effect(Stage, Event),
    Charged(u64),
}

fn call() -> impl Strategy<Value = Call> {
    let event = || prop::sample::select(Event::ALL.to_vec());
    let stage = prop::sample::select(Stage::ALL.to_vec());
    let fates = vec![
        PublishFate::Confirmed,
        PublishFate::Nacked,
        PublishFate::Returned,
        PublishFate::Unknown,
    ];
    prop_oneof![
        3 => Just(Call::Placed),
        3 => prop::sample::select(fates).prop_map(Call::Answered),
        3 => event().prop_map(Call::Attempted),
        3 => event().prop_map(Call::Emitted),
        3 => (stage, event()).prop_map(|(stage, event)| Call::Effect(stage, event)),
        1 => (0..3 * CENTS).prop_map(Call::Charged),
    ]
}

proptest! {
    // A failure prints its history; there is no file of old ones to keep.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fates_add_up_to_the_orders_whatever_happens(
        calls in prop::collection::vec((0u64..20, call()), 0..400),
        queued in prop::collection::hash_set(0u64..20, 0..5),
        dead in prop::collection::hash_set(0u64..20, 0..5),
    ) {
        let ledger = orderstorm::ledger::Ledger::new(1, None);
        let mut placed = std::collections::HashSet::new();
        for (number, call) in calls {
            match call {
                Call::Placed => {
                    placed.insert(number);
                    ledger.placed(number, 10, 20, CENTS);
                }
                Call::Answered(fate) => ledger.answered(number, fate),
                Call::Attempted(event) => ledger.attempted(number, event),
                Call::Emitted(event) => drop(ledger.emitted(number, event, 30)),
                Call::Effect(stage, event) => ledger.effect(number, stage, event),
                Call::Charged(cents) => ledger.charged(number, cents),
            }
            prop_assert!(ledger.awaited() <= ledger.open());
        }
        let residue = Residue { complete: true, queued, dead, ..Residue::default() };
        let report = ledger.settle(&residue, &[ItemBook::default()]);
        prop_assert_eq!(report.placed, placed.len() as u64);
        prop_assert_eq!(report.fates.total(), report.placed);
        prop_assert_eq!(report.confirmed + report.nacked + report.returned + report.unanswered, report.placed);
        prop_assert!(report.examples.values().all(|trails| trails.len() <= EXAMPLES_MAX));
    }

    #[test]
    fn answers_and_deliveries_may_overtake_each_other(
        orders in prop::collection::vec((0u8..3, prop::collection::vec(any::<u16>(), 80)), 1..6),
    ) {
        let mut model = Model::new(None);
        for (number, (way, choices)) in orders.iter().enumerate() {
            let way = [Way::Paid, Way::Declined, Way::OutOfStock][usize::from(*way)];
            let mut choices = choices.iter().cycle();
            model.order_in_turn(number as u64, way, |_| usize::from(*choices.next().expect("endless")));
        }
        prop_assert_eq!(model.ledger.open(), 0);
        let report = model.report();
        let promises = judged(&report, &drained());
        prop_assert!(promises.iter().all(|promise| promise.verdict == Verdict::Pass), "{:#?}", promises);
        let suppressed: u64 = report.stages.iter().map(|stage| stage.suppressed).sum();
        prop_assert_eq!((suppressed, report.stock.reserved), (0, 0));
    }
}

/// A workload in which the payment queue may drop what it has no room for.
const DROPPING: [&str; 2] = ["topology.dead_letter=false", "stage.payment.max_length=5"];

fn dropped_by(stages: &[Stage], counted: Option<u64>) -> Residue {
    Residue {
        drops: Drops {
            by: stages.to_vec(),
            counted,
        },
        ..emptied()
    }
}

#[test]
fn what_a_queue_may_drop_is_dropped_and_not_lost() {
    let mut model = three(Model::new(None));
    stuck(&mut model, 3);
    let report = model.report_with(&dropped_by(&[Stage::Payment], Some(1)));
    assert_eq!(
        (report.fates.dropped, report.fates.lost, report.fates.total()),
        (1, 0, 4)
    );
    assert_eq!(trails(&report, "dropped"), [3]);
    let payment = report.stages.iter().find(|counts| counts.stage == Stage::Payment);
    assert_eq!(payment.map(|counts| counts.dropped), Some(1));
    let promises = judge(&workload(&DROPPING), &report, &drained());
    assert_eq!(broken(&promises), NONE);
    let lost = named(&promises, "nothing_lost");
    assert_eq!((lost.verdict, lost.breaches), (Verdict::Fail, 1), "shown all the same");
    assert!(
        lost.not_given_because
            .as_ref()
            .is_some_and(|why| why.contains("stage.payment.overflow"))
    );
}

#[test]
fn what_a_queue_may_not_drop_is_lost_beside_one_that_may() {
    // Dropped by another stage than the one that may; or had by a consumer, which settled it.
    let mut elsewhere = three(Model::new(None));
    stuck(&mut elsewhere, 3);
    let mut settled = three(Model::new(None));
    stuck(&mut settled, 3);
    settled.ledger.settled(3, Stage::Payment, Event::InventoryReserved);
    for (model, may) in [(&elsewhere, Stage::Audit), (&settled, Stage::Payment)] {
        let report = model.report_with(&dropped_by(&[may], Some(5)));
        assert_eq!((report.fates.dropped, report.fates.lost), (0, 1), "{may}");
        let promises = judge(&workload(&DROPPING), &report, &drained());
        assert_eq!(broken(&promises), ["losses_explained"], "{may}");
    }
}

#[test]
fn more_missing_than_the_broker_dropped_is_found() {
    let mut model = three(Model::new(None));
    for number in 3..8 {
        stuck(&mut model, number);
    }
    for (counted, breaches) in [(None, 0), (Some(9), 0), (Some(5), 0), (Some(3), 2)] {
        let report = model.report_with(&dropped_by(&[Stage::Payment], counted));
        let promises = judge(&workload(&DROPPING), &report, &drained());
        let explained = named(&promises, "losses_explained");
        assert_eq!(explained.breaches, breaches, "{counted:?}");
        assert_eq!(explained.verdict == Verdict::Fail, breaches > 0, "{counted:?}");
    }
}

#[test]
fn a_dropped_notification_explains_that_no_channel_sent_it() {
    let mut model = Model::that_skips(Stage::Notification, Event::OrderPaid);
    model.skipped.insert((Stage::Email, Event::OrderPaid));
    model.skipped.insert((Stage::Sms, Event::OrderPaid));
    model.order(0, Way::Paid);
    let report = model.report_with(&dropped_by(&[Stage::Notification], Some(1)));
    assert_eq!((report.not_notified, report.fates.completed), (0, 1));
    let report = model.report();
    assert_eq!(report.not_notified, 1, "where no queue may, it is a gap");
}

#[test]
fn a_delivery_that_went_back_with_its_effect_may_be_dropped_with_its_event() {
    let model = three(Model::new(None));
    model.ledger.placed(3, 1_000, 1_500, CENTS);
    model.ledger.answered(3, PublishFate::Confirmed);
    model.ledger.attempted(3, Event::InventoryReserved);
    model.ledger.effect(3, Stage::Inventory, Event::OrderCreated);
    for stage in [Stage::Notification, Stage::Email, Stage::Sms, Stage::Audit] {
        model.ledger.effect(3, stage, Event::OrderCreated);
    }
    let report = model.report_with(&dropped_by(&[Stage::Inventory], None));
    assert_eq!(
        (report.fates.dropped, report.fates.lost),
        (1, 0),
        "its event was refused, and it went back"
    );
    model.ledger.settled(3, Stage::Inventory, Event::OrderCreated);
    let report = model.report_with(&dropped_by(&[Stage::Inventory], None));
    assert_eq!(
        (report.fates.dropped, report.fates.lost),
        (0, 1),
        "it was acknowledged without its event"
    );
}

#[test]
fn an_order_that_was_refused_by_another_queue_than_its_own_is_unknown() {
    let model = three(Model::new(None));
    model.ledger.placed(3, 1_000, 1_500, CENTS);
    model.ledger.answered(3, PublishFate::Nacked);
    model.ledger.effect(3, Stage::Audit, Event::OrderCreated);
    assert_eq!(
        (model.report().fates.nacked, model.report().fates.unknown),
        (1, 0),
        "only audit had it"
    );
    model.ledger.attempted(3, Event::InventoryReserved);
    model.ledger.effect(3, Stage::Inventory, Event::OrderCreated);
    assert_eq!(
        (model.report().fates.nacked, model.report().fates.unknown),
        (0, 1),
        "the chain has begun with it"
    );
}

#[test]
fn a_message_beside_the_chain_does_not_explain_a_lost_order() {
    let mut model = three(Model::new(None));
    stuck(&mut model, 3);
    for residue in [
        Residue {
            queued_beside: [3].into(),
            ..emptied()
        },
        Residue {
            dead_beside: [3].into(),
            ..emptied()
        },
    ] {
        let report = model.report_with(&residue);
        assert_eq!((report.fates.lost, report.fates.total()), (1, 4), "{residue:?}");
    }
    let residue = Residue {
        unrouted: [3].into(),
        ..emptied()
    };
    let report = model.report_with(&residue);
    assert_eq!((report.fates.unrouted, report.fates.lost), (1, 0));
}

#[test]
fn a_message_that_outlived_its_time_is_found() {
    let report = three(Model::new(None)).report();
    let ttl = workload(&["stage.payment.message_ttl=1s"]);
    for (overstay, slowest_confirm, verdict) in [
        (0, Some(1_000_000), Some(Verdict::Pass)),
        (400_000_000, Some(300_000_000), Some(Verdict::Pass)),
        (600_000_000, Some(300_000_000), Some(Verdict::Fail)),
        (600_000_000, None, None),
    ] {
        let observed = Observed {
            overstays: vec![(Stage::Payment, overstay)],
            slowest_confirm,
            ..drained()
        };
        let promises = judge(&ttl, &report, &observed);
        let found = promises.iter().find(|promise| promise.name == "ttl_respected");
        assert_eq!(
            found.map(|promise| promise.verdict),
            verdict,
            "{overstay} {slowest_confirm:?}"
        );
    }
}

#[test]
fn a_dead_letter_for_a_reason_that_its_queue_does_not_have_is_found() {
    for (reason, settings) in [
        ("expired", &["stage.payment.message_ttl=1s"][..]),
        ("expired", &["publish.ttl=1s"]),
        ("maxlen", &["stage.payment.max_length=5"]),
        (
            "maxlen",
            &[
                "stage.payment.max_length=5",
                "stage.payment.overflow=reject-publish-dlx",
            ],
        ),
        ("delivery_limit", &["stage.payment.queue_type=quorum"]),
    ] {
        let mut residue = emptied();
        let letter = (
            "orderstorm.ab.1.payment.dead-letter".to_owned(),
            Some(reason.to_owned()),
        );
        residue.dead_letters.insert(letter, 3);
        let report = three(Model::new(None)).report_with(&residue);
        assert_eq!(
            broken(&judge(&workload(settings), &report, &drained())),
            NONE,
            "{reason} {settings:?}"
        );
        assert_eq!(
            broken(&judged(&report, &drained())),
            ["dead_letters_explained"],
            "{reason}"
        );
    }
}
