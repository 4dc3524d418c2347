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
mod failing;
mod home;
mod identity;
mod product;
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
            a_deleted_tenant_is_known_at_once_by_notification,
            a_deleted_tenant_is_known_within_a_poll_without_notifications,
            a_lost_listener_is_made_up_for,
            creation_clears_a_name_that_led_nowhere,
            pruned_rows_drop_everything,
            an_update_keeps_connections_and_a_migration_retires_them,
        }
        away {
            known_tenants_are_served_without_the_catalog_for_a_while,
            a_lost_lease_hands_out_nothing_before_the_log_was_read,
        }
        budget {
            many_tenants_one_after_another_fit_in_few_slots,
            a_storm_never_exceeds_the_budget,
            waiting_is_bounded_and_in_order,
        }
        dropping {
            a_connection_comes_back_unless_it_was_left_in_the_middle,
            a_dropped_request_leaves_nothing_behind,
        }
        draining {
            a_disconnect_waits_for_a_query_and_ends_it_at_the_deadline,
            shutdown_closes_deregisters_and_refuses,
        }
        failing {
            a_server_that_hangs_or_refuses_fails_fast_after_the_first_try,
            connections_that_died_while_idle_are_not_handed_out,
        }
        adopting {
            a_proven_connection_becomes_the_first_pooled_one,
            another_database_or_an_owner_login_is_not_adopted,
        }
        product {
            a_handler_takes_its_tenants_database_as_an_argument,
            what_fails_half_way_is_rolled_back_and_tells_nothing,
        }
        warm {
            a_warm_request_asks_the_catalog_nothing,
            unknown_hosts_push_out_no_tenant,
        }
    ];
    world::run(cases).await;
}
