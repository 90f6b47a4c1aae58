//! Every setting has a test that shows its effect: change it, and a figure of the record changes as it must.
//!
//! The loads are small; where a figure depends on time its bounds are wide. The last test here holds the table of settings
//! against the table of tests, so that a key without a test fails.

mod support;

#[path = "settings/backlog.rs"]
mod backlog;
#[path = "settings/compare.rs"]
mod compare;
#[path = "settings/databases.rs"]
mod databases;
#[path = "settings/driver.rs"]
mod driver;
#[path = "settings/faults.rs"]
mod faults;
#[path = "settings/load.rs"]
mod load;
#[path = "settings/messages.rs"]
mod messages;
#[path = "settings/network.rs"]
mod network;
#[path = "settings/objectives.rs"]
mod objectives;
#[path = "settings/orders.rs"]
mod orders;
#[path = "settings/prediction.rs"]
mod prediction;
#[path = "settings/processes.rs"]
mod processes;
#[path = "settings/publish.rs"]
mod publish;
#[path = "settings/queues.rs"]
mod queues;
#[path = "settings/retry.rs"]
mod retry;
#[path = "settings/stages.rs"]
mod stages;
#[path = "settings/stores.rs"]
mod stores;
#[path = "settings/topology.rs"]
mod topology;
#[path = "settings/trial.rs"]
mod trial;
#[path = "settings/work_queue.rs"]
mod work_queue;

use orderstorm::workload::keys::{FAULT_KEYS, KEYS};

/// Each key of a fault with the test that shows its effect.
const FAULT_EFFECTS: &[(&str, &str)] = &[
    ("what", "each_kind_of_fault_strikes_and_nothing_is_lost_or_done_twice"),
    ("stage", "each_kind_of_fault_strikes_and_nothing_is_lost_or_done_twice"),
    (
        "node",
        "a_cluster_keeps_what_is_in_quorum_queues_when_a_node_dies_and_not_what_was_transient",
    ),
    ("at", "each_kind_of_fault_strikes_and_nothing_is_lost_or_done_twice"),
    ("lasts", "each_kind_of_fault_strikes_and_nothing_is_lost_or_done_twice"),
    ("every", "a_fault_happens_when_it_says_and_as_often"),
    ("random", "a_fault_happens_when_it_says_and_as_often"),
    ("after", "a_fault_happens_when_it_says_and_as_often"),
    ("until", "a_fault_happens_when_it_says_and_as_often"),
    ("times", "a_fault_happens_when_it_says_and_as_often"),
    (
        "on",
        "a_fault_waits_for_what_it_sees_and_one_that_never_sees_it_leaves_the_verdict_open",
    ),
    (
        "count",
        "count_and_share_say_how_many_are_struck_and_a_shared_connection_strikes_all",
    ),
    (
        "share",
        "count_and_share_say_how_many_are_struck_and_a_shared_connection_strikes_all",
    ),
    ("restart_after", "a_restart_takes_as_long_as_it_says"),
    ("delay", "a_delay_is_as_long_as_it_says_and_a_jitter_makes_it_uneven"),
    ("jitter", "a_delay_is_as_long_as_it_says_and_a_jitter_makes_it_uneven"),
    ("bandwidth", "no_more_passes_than_the_bandwidth"),
    (
        "point",
        "what_is_struck_after_its_effect_comes_again_and_only_a_memory_keeps_it_from_being_done_again",
    ),
];

/// Each key with the test that shows its effect.
const EFFECTS: &[(&str, &str)] = &[
    ("name", "the_name_is_in_the_record_and_in_the_folder"),
    ("seed", "the_seed_alone_says_what_is_ordered_and_when"),
    ("pipeline", "the_pipeline_says_which_stages_there_are"),
    (
        "driver.client",
        "each_client_says_who_it_is_and_only_lapin_has_more_logins_than_plain",
    ),
    ("load.arrival", "poisson_gaps_scatter_and_constant_ones_do_not"),
    ("load.rate", "rate_and_duration_say_how_many_orders_are_published"),
    ("load.burst_rate", "each_part_of_a_burst_train_changes_its_arrivals"),
    ("load.burst_width", "each_part_of_a_burst_train_changes_its_arrivals"),
    ("load.burst_every", "each_part_of_a_burst_train_changes_its_arrivals"),
    ("load.jitter", "poisson_gaps_scatter_and_constant_ones_do_not"),
    ("load.ramp_to", "each_part_of_a_ramp_changes_its_arrivals"),
    ("load.ramp_over", "each_part_of_a_ramp_changes_its_arrivals"),
    ("load.step_by", "each_part_of_stairs_changes_their_arrivals"),
    ("load.step_every", "each_part_of_stairs_changes_their_arrivals"),
    (
        "load.sine_amplitude",
        "amplitude_and_period_say_where_the_orders_of_a_wave_are",
    ),
    (
        "load.sine_period",
        "amplitude_and_period_say_where_the_orders_of_a_wave_are",
    ),
    ("load.spike_rate", "each_part_of_a_spike_changes_its_arrivals"),
    ("load.spike_at", "each_part_of_a_spike_changes_its_arrivals"),
    ("load.spike_rise", "each_part_of_a_spike_changes_its_arrivals"),
    ("load.spike_hold", "each_part_of_a_spike_changes_its_arrivals"),
    ("load.replay", "a_replayed_file_says_what_arrives_when"),
    ("load.phases", "phases_follow_one_another_and_each_has_its_figures"),
    ("load.users", "users_and_think_time_set_the_pace_of_a_closed_loop"),
    ("load.think_time", "users_and_think_time_set_the_pace_of_a_closed_loop"),
    ("load.duration", "rate_and_duration_say_how_many_orders_are_published"),
    ("load.orders", "a_load_by_count_publishes_that_many_orders"),
    ("load.warm_up", "the_warm_up_is_in_the_ledger_but_not_in_the_measures"),
    (
        "load.connections",
        "orders_travel_on_as_many_connections_as_are_asked_for",
    ),
    (
        "load.confirm_window",
        "a_confirm_window_holds_the_load_back_and_the_lag_shows_it",
    ),
    ("orders.items", "stock_and_items_bound_what_can_be_sold"),
    ("orders.stock_per_item", "stock_and_items_bound_what_can_be_sold"),
    ("orders.lines_max", "lines_and_quantities_say_how_many_pieces_are_sold"),
    (
        "orders.quantity_max",
        "lines_and_quantities_say_how_many_pieces_are_sold",
    ),
    (
        "orders.payment_decline",
        "declined_payments_cancel_their_share_of_the_orders",
    ),
    ("orders.body_size", "bodies_are_as_large_as_asked_for_on_the_wire"),
    ("publish.confirms", "without_confirms_no_order_is_known_to_have_arrived"),
    ("publish.mandatory", "only_mandatory_publishes_tell_of_a_missing_route"),
    (
        "publish.persistent",
        "messages_carry_the_delivery_mode_that_was_asked_for",
    ),
    (
        "publish.confirm_timeout",
        "an_answer_after_the_confirm_timeout_is_unknown_and_its_order_recovers",
    ),
    (
        "topology.order_exchange",
        "the_order_exchange_has_the_type_that_was_asked_for",
    ),
    ("topology.durable", "exchanges_are_as_durable_as_asked_for"),
    (
        "topology.dead_letter",
        "a_malformed_message_is_kept_only_where_there_is_a_dead_letter_queue",
    ),
    ("stage.*.consumers", "a_stage_has_as_many_consumers_as_asked_for"),
    ("stage.*.prefetch", "the_prefetch_bounds_what_a_stage_holds"),
    (
        "stage.*.concurrency",
        "jobs_at_once_clear_what_one_after_another_cannot",
    ),
    (
        "stage.*.service_time",
        "each_service_time_has_the_distribution_that_was_asked_for",
    ),
    (
        "stage.*.ack",
        "a_stage_with_automatic_acks_sends_none_and_promises_less",
    ),
    ("stage.*.ack_batch", "a_batch_takes_fewer_acknowledgements"),
    ("stage.*.ack_flush", "an_unfinished_batch_waits_for_its_flush"),
    (
        "stage.*.store",
        "a_message_that_comes_twice_is_suppressed_or_repeats_its_effect",
    ),
    (
        "stage.*.publish",
        "a_dual_write_loses_what_was_committed_and_not_published_and_the_others_do_not",
    ),
    ("stage.*.commit_batch", "a_group_commit_takes_fewer_transactions"),
    (
        "stage.*.commit_flush",
        "a_transaction_that_does_not_fill_waits_for_its_flush",
    ),
    (
        "stage.*.slow_share",
        "slow_workers_get_less_with_a_small_prefetch_and_hoard_with_an_unlimited_one",
    ),
    (
        "stage.*.slow_factor",
        "slow_workers_get_less_with_a_small_prefetch_and_hoard_with_an_unlimited_one",
    ),
    (
        "stage.*.errors",
        "each_policy_tries_the_same_messages_again_and_gives_up_the_same",
    ),
    ("stage.*.permanent_errors", "a_permanent_error_is_never_tried_again"),
    ("stage.*.errors_at", "handlers_fail_in_their_stretch_of_the_load_only"),
    ("stage.*.errors_last", "handlers_fail_in_their_stretch_of_the_load_only"),
    (
        "retry.policy",
        "each_policy_tries_the_same_messages_again_and_gives_up_the_same",
    ),
    ("retry.limit", "the_limit_says_how_often_a_message_is_tried_again"),
    (
        "retry.backoff",
        "pauses_grow_by_their_multiplier_up_to_the_longest_and_jitter_spreads_them",
    ),
    (
        "retry.multiplier",
        "pauses_grow_by_their_multiplier_up_to_the_longest_and_jitter_spreads_them",
    ),
    (
        "retry.backoff_max",
        "pauses_grow_by_their_multiplier_up_to_the_longest_and_jitter_spreads_them",
    ),
    (
        "retry.jitter",
        "pauses_grow_by_their_multiplier_up_to_the_longest_and_jitter_spreads_them",
    ),
    (
        "messages.duplicates",
        "a_duplicate_is_suppressed_or_has_its_effect_again",
    ),
    (
        "messages.malformed",
        "each_bad_message_is_a_dead_letter_at_every_stage_that_got_it_and_its_neighbours_are_unharmed",
    ),
    (
        "messages.wrong_type",
        "each_bad_message_is_a_dead_letter_at_every_stage_that_got_it_and_its_neighbours_are_unharmed",
    ),
    (
        "messages.missing_field",
        "each_bad_message_is_a_dead_letter_at_every_stage_that_got_it_and_its_neighbours_are_unharmed",
    ),
    (
        "messages.unknown_version",
        "each_bad_message_is_a_dead_letter_at_every_stage_that_got_it_and_its_neighbours_are_unharmed",
    ),
    (
        "messages.oversize",
        "each_bad_message_is_a_dead_letter_at_every_stage_that_got_it_and_its_neighbours_are_unharmed",
    ),
    (
        "messages.unroutable",
        "each_bad_message_is_a_dead_letter_at_every_stage_that_got_it_and_its_neighbours_are_unharmed",
    ),
    (
        "messages.size_limit",
        "an_oversize_message_is_just_above_what_the_stages_take",
    ),
    (
        "backlog.stage",
        "a_backlog_by_count_builds_up_and_clears_in_its_ideal_time",
    ),
    (
        "backlog.messages",
        "a_backlog_by_count_builds_up_and_clears_in_its_ideal_time",
    ),
    (
        "backlog.arrivals",
        "a_backlog_by_count_builds_up_and_clears_in_its_ideal_time",
    ),
    (
        "promises.nothing_lost",
        "a_stated_promise_refuses_the_settings_that_cannot_give_it",
    ),
    (
        "promises.nothing_twice",
        "a_stated_promise_refuses_the_settings_that_cannot_give_it",
    ),
    (
        "promises.prefetch_respected",
        "a_stated_promise_refuses_the_settings_that_cannot_give_it",
    ),
    (
        "promises.survives_broker_restart",
        "a_stated_promise_refuses_the_settings_that_cannot_give_it",
    ),
    (
        "objectives.end_to_end_p50",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.end_to_end_p90",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.end_to_end_p99",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.end_to_end_p999",
        "the_last_thousandth_is_held_to_its_bound_where_enough_orders_carry_it",
    ),
    (
        "objectives.confirm_latency_p99",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.drain_time",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.goodput",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.achieved_share",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.orders_lost",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.orders_duplicate_effect",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.orders_oversold",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.orders_refused",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.dead_letter_share",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.redeliveries",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.backlog_max",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.backlog_slope",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.driver_cpu_share",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.driver_memory_max",
        "each_objective_is_met_or_missed_as_its_bound_says",
    ),
    (
        "objectives.broker_memory_max",
        "an_objective_whose_figure_is_absent_is_never_met",
    ),
    (
        "compare.goodput",
        "a_threshold_of_the_workload_is_that_of_its_measure_and_decides",
    ),
    (
        "compare.end_to_end_p50",
        "a_threshold_of_the_workload_is_that_of_its_measure_and_decides",
    ),
    (
        "compare.end_to_end_p99",
        "a_threshold_of_the_workload_is_that_of_its_measure_and_decides",
    ),
    (
        "compare.drain_time",
        "a_threshold_of_the_workload_is_that_of_its_measure_and_decides",
    ),
    (
        "compare.driver_cpu",
        "a_threshold_of_the_workload_is_that_of_its_measure_and_decides",
    ),
    (
        "compare.redelivered",
        "a_threshold_of_the_workload_is_that_of_its_measure_and_decides",
    ),
    (
        "prediction.sustainable_rate",
        "what_was_foretold_stands_beside_what_was_measured",
    ),
    (
        "prediction.drain_time",
        "what_was_foretold_stands_beside_what_was_measured",
    ),
    (
        "prediction.backlog_max",
        "what_was_foretold_stands_beside_what_was_measured",
    ),
    (
        "prediction.end_to_end_p99",
        "what_was_foretold_stands_beside_what_was_measured",
    ),
    (
        "stage.*.predicted_utilisation",
        "what_was_foretold_stands_beside_what_was_measured",
    ),
    (
        "drain.deadline",
        "a_drain_that_misses_its_deadline_leaves_the_verdict_unknown",
    ),
    ("sample.interval", "samples_are_as_dense_as_asked_for"),
    ("trial.repeats", "repeats_are_trials_of_one_run_with_seeds_of_their_own"),
    (
        "fault.stage_outage.stage",
        "a_stage_of_the_order_pipeline_can_be_out_and_the_others_go_on",
    ),
    (
        "fault.stage_outage.at",
        "an_outage_of_a_stage_begins_and_ends_when_asked_for_and_loses_nothing",
    ),
    (
        "fault.stage_outage.lasts",
        "an_outage_of_a_stage_begins_and_ends_when_asked_for_and_loses_nothing",
    ),
    ("trial.cool_down", "the_cool_down_parts_one_trial_from_the_next"),
    ("fault.broker_pause.at", "tests/pipeline.rs"),
    ("fault.broker_pause.lasts", "tests/pipeline.rs"),
    (
        "fault.memory_alarm.at",
        "a_memory_alarm_blocks_publishers_while_consumers_go_on",
    ),
    (
        "fault.memory_alarm.lasts",
        "a_memory_alarm_blocks_publishers_while_consumers_go_on",
    ),
    ("fault.disk_alarm.at", "tests/pipeline.rs"),
    ("fault.disk_alarm.lasts", "tests/pipeline.rs"),
    ("orders.urgent", "messages_of_urgent_orders_bear_their_priority"),
    (
        "orders.urgent_priority",
        "messages_of_urgent_orders_bear_their_priority",
    ),
    ("publish.ttl", "what_waits_longer_than_the_queue_s_time_to_live_expires"),
    (
        "topology.alternate_exchange",
        "what_cannot_be_routed_goes_to_the_alternate_exchange",
    ),
    (
        "stage.*.max_length",
        "a_full_queue_drops_or_refuses_by_its_overflow_mode",
    ),
    ("stage.*.max_length_bytes", "a_limit_in_bytes_counts_bodies"),
    ("stage.*.overflow", "a_full_queue_drops_or_refuses_by_its_overflow_mode"),
    (
        "stage.*.message_ttl",
        "what_waits_longer_than_the_queue_s_time_to_live_expires",
    ),
    ("stage.*.max_priority", "a_priority_queue_lets_urgent_orders_overtake"),
    (
        "stage.*.single_active_consumer",
        "a_single_active_consumer_leaves_the_others_idle",
    ),
    ("stage.*.queue_type", "a_queue_has_the_type_that_was_asked_for"),
    (
        "stage.*.delivery_limit",
        "a_quorum_queue_gives_up_what_comes_back_too_often",
    ),
    (
        "stage.*.placement",
        "placement_and_processes_say_where_consumers_run_and_the_account_is_the_same",
    ),
    (
        "stage.*.processes",
        "placement_and_processes_say_where_consumers_run_and_the_account_is_the_same",
    ),
    (
        "stage.*.connection",
        "count_and_share_say_how_many_are_struck_and_a_shared_connection_strikes_all",
    ),
    ("broker.nodes", "tests/faults/cluster.rs"),
    (
        "recovery.backoff_initial",
        "a_lost_connection_comes_back_after_its_pause_or_ends_the_trial",
    ),
    ("recovery.backoff_max", "pauses_grow_no_longer_than_their_limit"),
    (
        "recovery.heartbeat",
        "a_dead_connection_is_noticed_by_its_heartbeat_or_not_before_it_is_reset",
    ),
    (
        "recovery.give_up_after",
        "a_lost_connection_comes_back_after_its_pause_or_ends_the_trial",
    ),
    ("faults", "each_kind_of_fault_strikes_and_nothing_is_lost_or_done_twice"),
    (
        "canary.defect",
        "every_planted_defect_breaks_the_promise_that_it_should",
    ),
    ("canary.every", "a_defect_strikes_each_nth_order"),
];

#[test]
fn every_key_has_a_test_of_its_effect() {
    let sources = [
        include_str!("settings/backlog.rs"),
        include_str!("settings/compare.rs"),
        include_str!("settings/driver.rs"),
        include_str!("settings/faults.rs"),
        include_str!("settings/load.rs"),
        include_str!("settings/network.rs"),
        include_str!("settings/databases.rs"),
        include_str!("settings/objectives.rs"),
        include_str!("settings/orders.rs"),
        include_str!("settings/prediction.rs"),
        include_str!("settings/processes.rs"),
        include_str!("settings/publish.rs"),
        include_str!("settings/queues.rs"),
        include_str!("settings/messages.rs"),
        include_str!("settings/retry.rs"),
        include_str!("settings/stages.rs"),
        include_str!("settings/stores.rs"),
        include_str!("settings/topology.rs"),
        include_str!("settings/trial.rs"),
        include_str!("settings/work_queue.rs"),
    ];
    for key in KEYS {
        let named: Vec<_> = EFFECTS.iter().filter(|(path, _)| *path == key.path).collect();
        assert_eq!(
            named.len(),
            1,
            "`{}` is tested {} times in the table",
            key.path,
            named.len()
        );
    }
    for (key, test) in EFFECTS {
        assert!(
            KEYS.iter().any(|known| known.path == *key),
            "`{key}` is no key any more"
        );
        let written = test.ends_with(".rs") || sources.iter().any(|source| source.contains(&format!("fn {test}()")));
        assert!(written, "the test `{test}` of `{key}` does not exist");
    }
}

#[test]
fn every_key_of_a_fault_has_a_test_of_its_effect() {
    let sources = [
        include_str!("settings/faults.rs"),
        include_str!("settings/network.rs"),
        include_str!("settings/databases.rs"),
        include_str!("settings/processes.rs"),
        include_str!("faults/cluster.rs"),
    ];
    let (keys, named): (Vec<&str>, Vec<&str>) = (
        FAULT_KEYS.iter().map(|key| key.path).collect(),
        FAULT_EFFECTS.iter().map(|(key, _)| *key).collect(),
    );
    assert!(
        keys.iter().all(|key| named.contains(key)) && keys.len() == named.len(),
        "{keys:?}"
    );
    for (key, test) in FAULT_EFFECTS {
        assert!(
            sources.iter().any(|source| source.contains(&format!("fn {test}()"))),
            "the test `{test}` of `{key}` does not exist"
        );
    }
}
