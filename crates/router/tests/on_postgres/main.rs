//! The router on real databases: one server for all cases, a catalog and tenants for each.
//! `ROUTER_CASE=text` runs only the cases whose name holds the text.
//!
//! One `#[test]` for all, so that the server is stopped at the end, whatever the runner.
//! Wires (see `wire.rs`) stand for the network: cut, or silent.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says what it expected"
)]

mod adopting;
mod away;
mod budget;
mod changes;
mod draining;
mod dropping;
mod evicting;
mod failing;
mod fair;
mod hanging;
mod home;
mod identity;
mod moving;
mod product;
mod seen;
mod shares;
mod unseen;
mod visiting;
mod warm;
mod wire;
mod world;

use world::{Case, Running};

macro_rules! cases {
    ($($module:ident { $($case:ident,)+ })+) => {
        vec![$($((
            concat!(stringify!($module), "::", stringify!($case)),
            Box::new(|home| -> Running { Box::pin($module::$case(home)) }) as Case,
        ),)+)+]
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn on_real_databases() {
    let cases: Vec<(&'static str, Case)> = cases![
        identity {
            databases_swapped_under_a_loaded_router_give_no_wrong_row,
            a_changed_password_is_read_anew_and_a_closed_login_is_refused,
        }
        changes {
            a_change_during_a_load_is_not_overtaken_by_it,
            a_creation_during_a_search_is_not_overtaken_by_it,
            one_load_serves_all_who_ask_and_two_names_share_a_pool,
            a_deleted_tenant_is_known_at_once_by_notification,
            a_deleted_tenant_is_known_within_a_poll_without_notifications,
            a_lost_listener_is_made_up_for,
            creation_clears_a_name_that_led_nowhere,
            a_name_given_to_another_tenant_is_not_kept_by_a_newer_entry,
            pruned_rows_drop_everything,
            an_update_keeps_connections_and_a_migration_retires_them,
            a_rotated_login_ends_no_lease_although_another_change_follows,
        }
        away {
            known_tenants_are_served_without_the_catalog_for_a_while,
            a_lost_lease_hands_out_nothing_before_the_log_was_read,
        }
        budget {
            many_tenants_one_after_another_fit_in_few_slots,
            a_storm_never_exceeds_the_budget,
            waiting_is_bounded_and_in_order,
            all_of_130_tenants_are_served_on_97_slots,
        }
        fair {
            a_noisy_tenant_keeps_nobody_waiting,
            queues_have_an_end_and_who_leaves_makes_place,
            a_plan_says_how_many_and_a_new_one_ends_nothing,
        }
        hanging {
            a_silent_cluster_costs_a_healthy_one_nothing,
            a_cluster_that_answers_nobody_fails_fast_and_comes_back,
            a_cluster_that_falls_silent_is_asked_once,
            a_connection_that_died_alone_is_nobody_elses_trouble,
            beside_a_connection_that_hangs_those_as_old_are_not_asked,
            answers_on_open_connections_are_signs_of_life,
            a_tenants_own_fault_is_not_its_clusters,
        }
        unseen {
            a_connection_whose_end_is_not_seen_counts_until_it_is,
            an_attempt_that_is_not_answered_counts_until_it_is,
        }
        evicting {
            a_tenant_that_is_forgotten_keeps_its_connections,
            room_is_made_of_idle_connections_alone,
        }
        shares {
            routers_under_a_storm_share_one_budget,
            what_is_asked_back_comes_as_queries_end_and_holds_up_nothing,
            a_budget_is_lowered_and_raised_while_it_is_used,
            who_wants_slots_of_one_cluster_reports_no_other,
            more_routers_than_slots_are_all_served_by_turns,
            a_share_that_was_lost_takes_its_connections_along,
            a_connection_whose_share_was_lost_meanwhile_is_not_handed_out,
            a_slot_whose_share_was_lost_meanwhile_is_not_used,
            a_lost_lease_hands_out_nothing_before_its_shares_are_known,
            without_the_catalog_nothing_is_opened_on_a_share_that_may_be_gone,
            a_login_that_outlived_a_reaper_lets_nothing_more_be_opened,
            the_newest_idle_connection_of_a_cluster_is_kept,
        }
        dropping {
            a_connection_comes_back_unless_it_was_left_in_the_middle,
            a_dropped_request_leaves_nothing_behind,
        }
        draining {
            a_disconnect_waits_for_a_query_and_ends_it_at_the_deadline,
            shutdown_closes_deregisters_and_refuses,
            shutdown_tells_who_waits_and_ends_what_stays,
            a_router_that_drains_counts_as_alive_until_it_leaves,
        }
        moving {
            a_new_password_takes_over_from_connections_with_the_old_one,
            a_higher_epoch_takes_over_from_connections_of_the_lower_one,
            a_move_to_another_server_takes_over_from_connections_to_the_former_one,
        }
        failing {
            a_server_that_hangs_or_refuses_fails_fast_after_the_first_try,
            connections_that_died_while_idle_are_not_handed_out,
        }
        adopting {
            a_proven_connection_becomes_the_first_pooled_one,
            another_database_or_an_owner_login_is_not_adopted,
            a_migration_finds_postgres_own_functions_whatever_the_database_sets,
        }
        product {
            a_handler_takes_its_tenants_database_as_an_argument,
            what_fails_half_way_is_rolled_back_and_tells_nothing,
            a_forwarded_host_does_not_count_against_the_hosts_tenant,
        }
        visiting {
            a_change_waits_for_a_handler_without_a_connection,
            a_handler_is_ended_at_the_deadline,
            a_change_waits_for_an_answer_that_is_still_sent,
            an_answer_breaks_off_at_the_deadline,
            a_request_that_panics_or_is_given_up_is_not_waited_for,
            a_migration_ends_no_request_and_a_later_change_waits_for_it,
            nobody_enters_by_a_route_that_was_overtaken,
            a_request_with_a_connection_is_ended_with_it,
        }
        seen {
            what_a_router_has_open_stands_in_the_catalog,
            why_a_tenant_cannot_connect_is_known_and_a_probe_tells_it_now,
            who_waits_fails_and_holds_most_is_told,
        }
        warm {
            a_warm_request_asks_the_catalog_nothing,
            a_warm_alias_asks_the_catalog_nothing_also_one_that_nobody_has,
            a_change_of_a_name_is_applied_with_its_row_of_the_log,
            unknown_hosts_push_out_no_tenant,
            a_flood_of_names_keeps_no_tenant_from_being_read,
            a_tenant_that_comes_anew_has_its_place_in_a_full_cache,
        }
    ];
    world::run(cases).await;
}
