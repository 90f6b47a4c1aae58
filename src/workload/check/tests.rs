//! What is legal, and what is refused with which words.

use super::*;
use crate::events::PipelineKind;
use crate::workload::model::{Arrival, Until};

fn checked(text: &str) -> CheckedCell {
    check("w.toml", "w", text.to_owned(), &[])
        .unwrap_or_else(|error| panic!("{error}"))
        .into_first()
}

fn refused(text: &str, overrides: &[&str]) -> (Vec<Problem>, String) {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    match check("w.toml", "w", text.to_owned(), &overrides) {
        Err(error @ WorkloadError::Invalid { .. }) => {
            let message = error.to_string();
            let WorkloadError::Invalid { problems, .. } = error else {
                return (Vec::new(), message);
            };
            (problems, message)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn an_empty_file_is_the_default_experiment() {
    let workload = checked("").workload;
    assert_eq!(workload.name, "w");
    assert_eq!(workload.load.until, Until::Duration(Span::from_secs(30)));
    assert_eq!(workload.pipeline, PipelineKind::Orders);
    assert_eq!(workload.stages.len(), PipelineKind::Orders.stages().len());
}

#[test]
fn a_work_queue_has_the_settings_of_its_worker_and_of_no_other_stage() {
    let checked = checked("pipeline = \"work-queue\"\n[stage.worker]\nconsumers = 7");
    assert_eq!(
        (checked.workload.stages.len(), checked.workload.stages[0].consumers),
        (1, 7)
    );
    let listed = |path: &str| checked.settings.iter().any(|setting| setting.path == path);
    assert!(listed("stage.worker.prefetch") && listed("orders.body_size"));
    assert!(!listed("stage.payment.prefetch") && !listed("orders.payment_decline"));
}

#[test]
fn all_mistakes_are_shown_at_once_with_line_column_and_hint() {
    let (problems, message) = refused(
        "seed = 1\n[load]\nrte = \"5/s\"\nduration = 30\n[stage.payment]\nprefetch = 0\n",
        &["stage.audit.ack=maybe"],
    );
    assert_eq!(problems.len(), 4, "{message}");
    for part in [
        "w.toml:3:1",
        "did you mean `load.rate`?",
        "w.toml:4:12",
        "w.toml:6:12",
        "out of range",
        "--set:1:17",
        "\"manual\", \"auto\"",
    ] {
        assert!(message.contains(part), "{part} is missing in\n{message}");
    }
}

#[test]
fn a_syntax_error_does_not_hide_the_other_mistakes() {
    let (problems, message) = refused("seed = = 3\n[load]\nrte = \"5/s\"\n", &[]);
    assert!(problems.len() >= 2, "{message}");
}

#[test]
fn the_command_line_wins_over_the_file_and_the_plan_says_who_spoke() {
    let overrides = [
        "load.rate=500/s".to_owned(),
        "stage.payment.service_time=5ms".to_owned(),
    ];
    let checked = check(
        "w.toml",
        "w",
        "[load]\nrate = \"5/s\"\nduration = \"3s\"".to_owned(),
        &overrides,
    )
    .expect("legal")
    .into_first();
    assert_eq!(
        checked.workload.load.arrival,
        Arrival::constant(crate::units::Rate(500.0))
    );
    let origin = |path: &str| {
        checked
            .settings
            .iter()
            .find(|setting| setting.path == path)
            .map(|setting| setting.origin)
    };
    assert_eq!(origin("load.rate"), Some(Origin::CommandLine));
    assert_eq!(origin("load.duration"), Some(Origin::File));
    assert_eq!(origin("seed"), Some(Origin::Default));
}

#[test]
fn contradictions_are_refused() {
    for (text, says) in [
        (
            "load = { arrival = \"closed\", users = 3, rate = \"5/s\" }",
            "no effect with load.arrival = \"closed\"",
        ),
        ("load = { arrival = \"closed\" }", "needs load.users"),
        ("load = { arrival = \"burst\" }", "needs load.burst_rate"),
        (
            "load = { duration = \"1s\", orders = 3 }",
            "both load.duration and load.orders",
        ),
        ("[stage.audit]\nack_batch = 20\nprefetch = 10", "never fills"),
        ("[stage.audit]\nconcurrency = 20\nprefetch = 10", "never reached"),
        (
            "[stage.audit]\nack = \"auto\"\nprefetch = 10",
            "no effect with automatic",
        ),
        (
            "[stage.audit]\nack_flush = \"5ms\"",
            "no effect with an acknowledgement for each",
        ),
        (
            "[promises]\nprefetch_respected = true\n[stage.audit]\nprefetch = \"unlimited\"",
            "cannot be given",
        ),
        (
            "[promises]\nnothing_lost = true\n[publish]\nconfirms = false",
            "cannot be given",
        ),
        (
            "[promises]\nnothing_twice = true\n[stage.sms]\nstore = \"none\"",
            "cannot be given",
        ),
        ("[stage.audit]\npublish = \"dual-write\"", "publishes nothing"),
        (
            "[stage.payment]\npublish = \"outbox\"",
            "needs a store with transactions",
        ),
        (
            "[stage.payment]\nstore = \"none\"\npublish = \"dual-write\"",
            "no effect on a stage that remembers nothing",
        ),
        ("[stage.payment]\ncommit_batch = 5", "no effect without a durable store"),
        (
            "[stage.payment]\nstore = \"sqlite\"\ncommit_flush = \"5ms\"",
            "no effect with a transaction for each step",
        ),
        (
            "[stage.payment]\nstore = \"sqlite\"\nprefetch = 5\ncommit_batch = 10",
            "never fills",
        ),
        (
            "[[faults]]\nwhat = \"database-locked\"\nstage = \"payment\"\nat = \"1s\"\nlasts = \"1s\"",
            "the payment stage has no database that a database-locked could strike",
        ),
        (
            "[stage.payment]\nstore = \"sqlite\"\n[[faults]]\nwhat = \"database-unreachable\"\nstage = \"payment\"\nat = \"1s\"\nlasts = \"1s\"",
            "a SQLite file is always within reach",
        ),
        (
            "[stage.payment]\nstore = \"sqlite\"\n[[faults]]\nwhat = \"database-slow\"\nstage = \"payment\"\nat = \"1s\"\nlasts = \"1s\"",
            "does not say its `delay`",
        ),
        (
            "[stage.payment]\nstore = \"sqlite\"\n[[faults]]\nwhat = \"database-locked\"\nstage = \"payment\"\nat = \"1s\"\nlasts = \"1s\"\ncount = 1",
            "it strikes no consumers",
        ),
        (
            "[[faults]]\nwhat = \"database-locked\"\nat = \"1s\"\nlasts = \"1s\"",
            "does not say its `stage`",
        ),
        (
            "[promises]\nnothing_lost = true\n[stage.payment]\npublish = \"dual-write\"",
            "cannot be given",
        ),
        ("[canary]\ndefect = \"skip-relay\"", "no place without an outbox"),
        ("[stage.worker]\nconsumers = 2", "no effect with pipeline = \"orders\""),
        (
            "pipeline = \"work-queue\"\n[stage.payment]\nconsumers = 2",
            "the stages of this pipeline are worker",
        ),
        (
            "pipeline = \"work-queue\"\n[orders]\npayment_decline = \"2%\"",
            "no effect with pipeline = \"work-queue\"",
        ),
        (
            "pipeline = \"work-queue\"\n[canary]\ndefect = \"oversell\"",
            "choose one of \"lose-delivery\", \"work-twice\"",
        ),
        ("[canary]\ndefect = \"work-twice\"", "has no place in"),
        ("[stage.audit]\nslow_factor = 3", "no effect without slow consumers"),
        (
            "[stage.audit]\nslow_share = \"50%\"\nconsumers = 2",
            "work that takes no time",
        ),
        (
            "[stage.audit]\nslow_share = \"10%\"\nservice_time = \"1ms\"\nconsumers = 4",
            "10% of 4 consumers are not one",
        ),
        ("[backlog]\nstage = \"payment\"", "needs both its stage"),
        ("[backlog]\narrivals = \"stop\"", "no effect without a backlog"),
        ("[backlog]\nstage = \"worker\"\nmessages = 5", "has no stage `worker`"),
        (
            "load = { orders = 10 }\nbacklog = { stage = \"payment\", messages = 11 }",
            "never stands: the load has 10 orders",
        ),
        (
            "load = { arrival = \"closed\", users = 3 }\nbacklog = { stage = \"payment\", messages = 3 }",
            "a backlog is measured under an open loop",
        ),
        (
            "[fault.stage_outage]\nat = \"1s\"",
            "its stage, its start and its length",
        ),
        (
            "[fault.stage_outage]\nstage = \"sms\"\nat = \"31s\"\nlasts = \"1s\"",
            "would begin when the load is over",
        ),
        (
            "[backlog]\nstage = \"sms\"\nmessages = 5\n[fault.stage_outage]\nstage = \"sms\"\nat = \"1s\"\nlasts = \"1s\"",
            "could not be told apart",
        ),
        ("[fault.broker_pause]\nat = \"1s\"", "needs both"),
        ("[fault.memory_alarm]\nlasts = \"1s\"", "needs both"),
        (
            "[fault.disk_alarm]\nat = \"29s\"\nlasts = \"2s\"",
            "after the load does",
        ),
        (
            "[stage.payment]\noverflow = \"reject-publish\"",
            "no effect on a queue without a limit",
        ),
        (
            "publish.confirms = false\n[stage.payment]\nmax_length = 5\noverflow = \"reject-publish\"",
            "its fate would be unknown",
        ),
        (
            "topology.dead_letter = false\n[stage.payment]\nmax_length = 5\noverflow = \"reject-publish-dlx\"",
            "there are no dead-letter queues",
        ),
        ("[stage.payment]\nmax_length_bytes = \"0B\"", "holds nothing"),
        (
            "[stage.payment]\nmax_priority = 5",
            "no effect while no order is urgent",
        ),
        ("[orders]\nurgent_priority = 5", "no effect while no order is urgent"),
        (
            "[stage.payment]\nsingle_active_consumer = true",
            "no effect with one consumer",
        ),
        ("[stage.payment]\ndelivery_limit = 5", "no effect on a classic queue"),
        (
            "orders.urgent = \"10%\"\n[stage.payment]\nmax_priority = 5\nqueue_type = \"quorum\"",
            "takes no x-max-priority",
        ),
        (
            "[stage.payment]\nmax_length = 5\noverflow = \"reject-publish-dlx\"\nqueue_type = \"quorum\"",
            "has no overflow mode",
        ),
        (
            "topology.durable = false\n[stage.payment]\nqueue_type = \"quorum\"",
            "is always durable",
        ),
        (
            "load = { arrival = \"closed\", users = 3 }\n[stage.payment]\nmax_length = 5",
            "would wait for ever",
        ),
        (
            "load = { arrival = \"closed\", users = 3 }\n[publish]\nttl = \"1s\"",
            "would wait for ever",
        ),
        (
            "topology.dead_letter = false\npromises.nothing_lost = true\n[stage.payment]\nmax_length = 5",
            "cannot be given",
        ),
        (
            "topology.dead_letter = false\npromises.nothing_lost = true\n[stage.payment]\nmessage_ttl = \"5s\"",
            "cannot be given",
        ),
        (
            "[fault.broker_pause]\nat = \"29s\"\nlasts = \"2s\"",
            "after the load does",
        ),
        ("[canary]\nevery = 3", "no effect without canary.defect"),
        ("[canary]\ndefect = \"oversell\"", "cannot be oversold"),
        (
            "[publish]\nconfirms = false\n[load]\nconfirm_window = 10",
            "never fills nor empties",
        ),
        ("[orders]\nlines_max = 20", "different items"),
        ("load = { rate = \"0/s\" }", "never sends"),
        (
            "load = { arrival = \"poisson\", jitter = \"none\" }",
            "scatters already",
        ),
        ("load = { arrival = \"ramp\", ramp_to = \"100/s\" }", "leads nowhere"),
        ("load = { arrival = \"ramp\" }", "needs load.ramp_to"),
        (
            "load = { arrival = \"ramp\", ramp_to = \"9/s\", ramp_over = \"31s\" }",
            "does not come to its end within 30s",
        ),
        (
            "load = { arrival = \"ramp\", ramp_to = \"9/s\", orders = 5 }",
            "A load by count has no length",
        ),
        (
            "load = { arrival = \"ramp\", ramp_to = \"0/s\", ramp_over = \"1s\", orders = 51 }",
            "brings 50 orders and then none",
        ),
        (
            "load = { arrival = \"ramp\", ramp_to = \"0/s\", ramp_over = \"1s\", orders = 50, jitter = \"poisson\" }",
            "exact number",
        ),
        (
            "load = { arrival = \"steps\", step_by = \"100/s\", step_every = \"30s\" }",
            "there is no second",
        ),
        (
            "load = { arrival = \"steps\", step_by = \"100000/s\", step_every = \"1s\" }",
            "too many",
        ),
        (
            "load = { arrival = \"steps\", step_by = \"900000/s\", step_every = \"1s\", orders = 1000000000 }",
            "too many",
        ),
        (
            "load = { arrival = \"sine\", sine_amplitude = \"101/s\" }",
            "would fall below zero",
        ),
        (
            "load = { arrival = \"sine\", rate = \"999999/s\", sine_amplitude = \"9/s\" }",
            "above 1000000/s",
        ),
        (
            "load = { arrival = \"spike\", spike_rate = \"9/s\", spike_at = \"20s\", spike_hold = \"11s\" }",
            "ends 31s after the start",
        ),
        (
            "load = { ramp_to = \"5/s\" }",
            "no effect with load.arrival = \"constant\"",
        ),
        ("load = { users = 5 }", "no effect in an open loop"),
        (
            "load = { arrival = \"saturate\", users = 5 }",
            "whose publishers wait for no order",
        ),
        (
            "load = { arrival = \"saturate\", rate = \"5/s\" }",
            "no effect with load.arrival = \"saturate\"",
        ),
        (
            "load = { arrival = \"replay\", replay = \"nowhere.csv\" }",
            "cannot read `nowhere.csv`",
        ),
    ] {
        let (_, message) = refused(text, &[]);
        assert!(message.contains(says), "{says} is missing in\n{message}");
    }
}

#[test]
fn a_mistake_in_a_phase_is_shown_at_its_place() {
    let phase = "[[load.phases]]\nduration = \"1s\"\n";
    for (text, parts) in [
        (
            "[[load.phases]]\nrate = \"5/s\"\n".to_owned(),
            ["phase 1 of the load has no length", "w.toml:2:8"],
        ),
        ("[[load.phases]]\n".to_owned(), ["expected tables", "w.toml:1"]),
        ("load.phases = 3\n".to_owned(), ["expected tables", "w.toml:1:15"]),
        (
            format!("{phase}{phase}rte = \"5/s\"\n"),
            ["did you mean `load.phases.2.rate`?", "w.toml:5:1"],
        ),
        (
            format!("{phase}rate = \"2000000/s\"\n"),
            ["`load.phases.1.rate`", "w.toml:3:8"],
        ),
        (
            format!("{phase}ramp_to = \"5/s\"\n"),
            ["no effect with load.phases.1.arrival = \"constant\"", "w.toml:3:11"],
        ),
        (
            format!("{phase}arrival = \"closed\"\n"),
            ["cannot be a phase", "w.toml:3:11"],
        ),
        (
            format!("load.rate = \"5/s\"\n{phase}"),
            ["no effect beside load.phases", "w.toml:1:13"],
        ),
        (
            format!("load.duration = \"5s\"\n{phase}"),
            ["no effect beside load.phases", "w.toml:1:17"],
        ),
        (
            format!("load.warm_up = \"1s\"\n{phase}"),
            ["as long as all phases together", "w.toml:1:16"],
        ),
        (
            format!("{phase}rate = \"0/s\"\n"),
            ["never send an order", "w.toml:3:8"],
        ),
        (
            "[[load.phases]]\nduration = \"20h\"\n[[load.phases]]\nduration = \"5h\"\n".to_owned(),
            ["longer than 1day", "w.toml:2:12"],
        ),
    ] {
        let (_, message) = refused(&text, &[]);
        for part in parts {
            assert!(message.contains(part), "{part} is missing in\n{message}");
        }
    }
    let (_, message) = refused(phase, &["load.phases.2.rate=5/s"]);
    assert!(message.contains("phase 2 of the load has no length"), "{message}");
}

#[test]
fn phases_make_one_load_whose_first_part_is_the_warm_up() {
    let checked = checked(
        "load.warm_up = \"2s\"\n[[load.phases]]\nduration = \"5s\"\nrate = \"9/s\"\n[[load.phases]]\nname = \"up\"\n\
         arrival = \"ramp\"\nduration = \"5s\"\nramp_to = \"200/s\"\njitter = \"poisson\"\n",
    );
    let load = &checked.workload.load;
    assert_eq!(load.until, Until::Duration(Span::from_secs(8)));
    let names: Vec<&str> = load.arrival.phases().iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["constant", "up"]);
    let listed = |path: &str| checked.settings.iter().find(|setting| setting.path == path);
    let value = listed("load.phases.2.ramp_to").map(|setting| setting.value.as_str());
    assert_eq!(value, Some("\"200/s\""));
    let origin = listed("load.phases.2.rate").map(|setting| setting.origin);
    assert_eq!(origin, Some(Origin::Default));
    for absent in ["load.rate", "load.arrival", "load.duration"] {
        assert!(listed(absent).is_none(), "{absent}");
    }
}

#[test]
fn a_replayed_file_is_found_beside_the_workload_and_ends_the_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("w.toml");
    std::fs::write(&file, "load = { arrival = \"replay\", replay = \"a.csv\" }").expect("written");
    let until = |csv: &str| {
        std::fs::write(folder.path().join("a.csv"), csv).expect("written");
        load(&file, &[]).map(|checked| checked.into_first().workload.load.until)
    };
    assert_eq!(until("time_s\n0\n3\n").expect("legal"), Until::Orders(2));
    assert_eq!(
        until("start_s,orders\n0,4\n2,1\n").expect("legal"),
        Until::Duration(Span::from_secs(4))
    );
    let error = until("time_s\n3\nx\n").expect_err("illegal").to_string();
    assert!(
        error.contains("a.csv`, line 3: `x` is no number") && error.contains("w.toml:1:"),
        "{error}"
    );
}

#[test]
fn what_the_plan_prints_is_a_workload_that_means_the_same() {
    let first = checked(
        "[load]\narrival = \"poisson\"\n[stage.payment]\nservice_time = { lognormal = { median = \"1ms\", p99 = \"9ms\" } }",
    );
    let text: String = first
        .settings
        .iter()
        // Written out, these would be refused as having no effect.
        .filter(|setting| {
            setting.origin != Origin::Default
                || !matches!(
                    setting.path.rsplit('.').next(),
                    Some(
                        "ack_flush"
                            | "think_time"
                            | "every"
                            | "overflow"
                            | "urgent_priority"
                            | "slow_factor"
                            | "arrivals"
                            | "publish"
                            | "commit_batch"
                            | "commit_flush"
                            | "processes"
                            | "size_limit"
                    )
                ) && !setting.path.starts_with("retry.")
        })
        .map(|setting| format!("{} = {}\n", setting.path, setting.value))
        .collect();
    assert_eq!(checked(&text).workload, first.workload);
}

#[test]
fn what_needs_worker_processes_is_refused_without_them_and_what_they_cannot_share_is_too() {
    let placed = |stage: &str, rest: &str| format!("[stage.{stage}]\nplacement = \"process\"\nconsumers = 2\n{rest}");
    let fault = |rest: &str| format!("[[faults]]\nstage = \"payment\"\nat = \"1s\"\n{rest}");
    let killed = fault("what = \"sigkill\"\n");
    let cases = [
        (
            "[stage.payment]\nprocesses = 2\nconsumers = 2\n".to_owned(),
            "has no effect on consumers that run in the driver",
        ),
        (
            placed("payment", "processes = 3\n"),
            "2 consumers cannot be shared out over 3 processes",
        ),
        (placed("inventory", "processes = 2\n"), "would sell the same stock"),
        (
            placed("payment", "processes = 2\nstore = \"sqlite\"\npublish = \"outbox\"\n"),
            "an outbox has one relay",
        ),
        (killed.clone(), "the payment stage runs in the driver"),
        (
            format!("{}{killed}count = 2\n", placed("payment", "")),
            "the payment stage has 1 worker processes, not 2",
        ),
        (
            format!("{}{}", placed("payment", ""), fault("what = \"sigstop\"\n")),
            "does not say how long its sigstop lasts",
        ),
        (
            format!(
                "{}{}",
                placed("payment", ""),
                fault("what = \"sigstop\"\nlasts = \"1s\"\npoint = \"before-effect\"\n")
            ),
            "has no effect on a sigstop",
        ),
        (
            format!(
                "{}{}",
                placed("payment", ""),
                fault("what = \"sigstop\"\nlasts = \"1s\"\nrestart_after = \"1s\"\n")
            ),
            "has no effect on a sigstop",
        ),
        (
            format!("promises.nothing_twice = true\n{}", placed("payment", "")),
            "the memory of a worker process dies with it",
        ),
    ];
    for (text, expected) in cases {
        let (_, message) = refused(&text, &[]);
        assert!(
            message.contains(expected) && message.contains("help"),
            "{text}\n{message}"
        );
    }
    let legal = format!(
        "{}{killed}point = \"confirm-to-ack\"\n",
        placed("payment", "processes = 2\n")
    );
    let stage = &checked(&legal).workload.stages[2];
    assert_eq!((stage.processes, stage.consumers), (2, 2));
}

#[test]
fn a_fault_of_the_network_or_the_broker_says_all_that_it_needs_and_nothing_else() {
    let fault = |lines: &str| format!("load.duration = \"30s\"\n[[faults]]\nat = \"1s\"\n{lines}\n");
    for (lines, says) in [
        ("what = \"network-stall\"", "does not say its `lasts`"),
        ("what = \"network-delay\"\nlasts = \"1s\"", "does not say its `delay`"),
        (
            "what = \"network-bandwidth\"\nlasts = \"1s\"",
            "does not say its `bandwidth`",
        ),
        (
            "what = \"network-bandwidth\"\nlasts = \"1s\"\nbandwidth = \"0B\"",
            "nothing passes through a bandwidth of nothing",
        ),
        (
            "what = \"network-delay\"\nlasts = \"1s\"\ndelay = \"10ms\"\njitter = \"20ms\"",
            "a jitter of 20ms is more than the delay (10ms)",
        ),
        (
            "what = \"network-cut\"\nlasts = \"1s\"\ndelay = \"10ms\"",
            "`faults.1.delay` has an effect with network-delay",
        ),
        (
            "what = \"panic\"\nstage = \"payment\"\nbandwidth = \"1KiB\"",
            "`faults.1.bandwidth` has an effect with network-bandwidth",
        ),
        (
            "what = \"network-reset\"\nrestart_after = \"1s\"",
            "`faults.1.restart_after` has no effect on a network-reset",
        ),
        (
            "what = \"network-stall\"\nlasts = \"1s\"\ncount = 2",
            "`faults.1.count` has no effect on a network-stall: it strikes no single consumers",
        ),
        (
            "what = \"broker-kill\"\nstage = \"payment\"",
            "`faults.1.stage` has no effect on a broker-kill: all stages have one broker",
        ),
        (
            "what = \"broker-restart\"\nlasts = \"1s\"",
            "`faults.1.lasts` has no effect on a broker-restart",
        ),
        (
            "what = \"broker-kill\"\npoint = \"before-effect\"",
            "`faults.1.point` has no effect on a broker-kill",
        ),
        (
            "what = \"network-stall\"\nlasts = \"1s\"\nstage = \"worker\"",
            "there is no worker stage",
        ),
        ("what = \"panic\"", "does not say its `stage`"),
    ] {
        let (problems, message) = refused(&fault(lines), &[]);
        assert!(problems.len() == 1 && message.contains(says), "{lines}: {message}");
    }
    let (_, message) = refused("[[faults]]\nwhat = \"broker-kill\"\nafter = 10", &[]);
    assert!(
        message.contains("counts the deliveries to a stage, and there is none"),
        "{message}"
    );
    let (_, message) = refused("recovery.heartbeat = \"1500ms\"", &[]);
    assert!(message.contains("no whole number of seconds"), "{message}");
}

#[test]
fn a_fault_of_a_node_needs_a_cluster_and_says_which_node() {
    let fault = |nodes: u32, lines: &str| format!("broker.nodes = {nodes}\n[[faults]]\nat = \"1s\"\n{lines}\n");
    for (nodes, lines, says) in [
        (1, "what = \"node-kill\"", "or choose broker-kill"),
        (
            1,
            "what = \"node-pause\"\nlasts = \"1s\"",
            "or choose [fault.broker_pause]",
        ),
        (
            3,
            "what = \"node-kill\"\nnode = 4",
            "there is no node 4: the cluster has 3",
        ),
        (3, "what = \"node-kill\"\nnode = \"leader\"", "add stage = \"…\""),
        (
            3,
            "what = \"node-kill\"\nnode = 2\nstage = \"payment\"",
            "`faults.1.stage` has no effect on which node is struck",
        ),
        (
            3,
            "what = \"node-kill\"\nlasts = \"1s\"",
            "`faults.1.lasts` has no effect on a node-kill",
        ),
        (3, "what = \"node-partition\"", "does not say its `lasts`"),
        (
            3,
            "what = \"node-pause\"\nlasts = \"1s\"\nrestart_after = \"1s\"",
            "`faults.1.restart_after` has no effect on a node-pause",
        ),
        (
            3,
            "what = \"node-restart\"\ncount = 2",
            "it strikes no single consumers",
        ),
        (
            3,
            "what = \"broker-kill\"\nnode = 1",
            "`faults.1.node` has an effect with node-kill",
        ),
        (3, "what = \"node-kill\"\nnode = 9", "found the whole number 9"),
    ] {
        let (problems, message) = refused(&fault(nodes, lines), &[]);
        assert!(
            problems.len() == 1 && message.contains(says) && message.contains("help"),
            "{lines}: {message}"
        );
    }
    let (_, message) = refused("broker.nodes = 4", &[]);
    assert!(message.contains("no more nodes than one of 3"), "{message}");
    let (_, message) = refused("broker.nodes = [1, 3]", &[]);
    assert!(message.contains("all trials of a run have one broker"), "{message}");
    let promised = format!("{}\n[promises]\nnothing_lost = true", fault(3, "what = \"node-kill\""));
    let (_, message) = refused(&promised, &[]);
    assert!(
        message.contains("set queue_type = \"quorum\" for each stage"),
        "{message}"
    );
    // A node that stands still is waited for.
    checked(&promised.replace("node-kill\"", "node-pause\"\nlasts = \"1s\""));
}

#[test]
fn a_node_is_read_as_it_is_written() {
    use crate::workload::model::{FaultKind, NodeFault, WhichNode};
    let script = |lines: &str| {
        let text = format!("broker.nodes = 3\n[[faults]]\nat = \"1s\"\n{lines}\n");
        checked(&text).workload.faults.script[0].clone()
    };
    for (node, which) in [
        ("", WhichNode::Random),
        ("node = 2", WhichNode::Number(2)),
        ("node = \"2\"", WhichNode::Number(2)),
        ("node = \"follower\"\nstage = \"payment\"", WhichNode::Follower),
    ] {
        let fault = script(&format!("what = \"node-kill\"\n{node}\nrestart_after = \"2s\""));
        assert_eq!(fault.what, FaultKind::Node(NodeFault::Kill, which), "{node}");
        assert_eq!(fault.restart_after, Span::from_secs(2));
    }
    let cut = script("what = \"node-partition\"\nlasts = \"3s\"").what;
    assert_eq!(
        cut,
        FaultKind::Node(NodeFault::Partition(Span::from_secs(3)), WhichNode::Random)
    );
    assert!(cut.is_of_broker() && cut.takes_down());
    let pause = FaultKind::Node(NodeFault::Pause(Span::from_secs(3)), WhichNode::Random);
    assert!(pause.is_of_broker() && !pause.takes_down());
}

#[test]
fn faults_of_the_network_and_the_broker_are_read_as_they_are_written() {
    use crate::workload::model::{FaultKind, NetworkFault};
    let text = "load.duration = \"30s\"\n\
        [[faults]]\nwhat = \"network-delay\"\nstage = \"payment\"\nat = \"1s\"\nlasts = \"2s\"\ndelay = \"50ms\"\njitter = \"5ms\"\n\
        [[faults]]\nwhat = \"network-reset\"\nat = \"4s\"\n\
        [[faults]]\nwhat = \"broker-kill\"\nat = \"6s\"\nrestart_after = \"1s\"\n";
    let faults = checked(text).workload.faults.clone();
    let delay = NetworkFault::Delay {
        delay: Span::from_millis(50),
        jitter: Span::from_millis(5),
    };
    assert_eq!(faults.script[0].what, FaultKind::Network(delay, Span::from_secs(2)));
    assert_eq!(
        faults.script[1].what,
        FaultKind::Network(NetworkFault::Reset, Span::ZERO)
    );
    assert_eq!(
        (faults.script[1].stage, faults.script[2].restart_after),
        (None, Span::from_secs(1))
    );
    assert_eq!(faults.of_broker(), Some((3, "broker-kill")));
    assert!(!checked("").workload.faults.take_broker_down());
}
