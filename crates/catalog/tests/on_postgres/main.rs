//! The catalog on a real Postgres: one server for all cases, a database for each, cloned from a
//! migrated template. `CATALOG_CASE=text` runs only the cases whose name holds the text.
//!
//! One `#[test]` for all of them, so that the server is stopped at the end, whatever the runner: one
//! with a process per test would start a server per test and stop none.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test; clippy knows only `#[test]` functions as such"
)]

mod births;
mod changes;
mod databases;
mod directory;
mod fleet;
mod journal;
mod keys;
mod leases;
mod migrating;
mod names;
mod router_login;
mod routes;
mod sealing;
mod shares;
mod standing;
mod tenants;
mod trail;
mod words;
mod world;

use world::{Case, Running, World};

macro_rules! cases {
    ($($module:ident { $($case:ident,)+ })+) => {
        vec![$($((
            concat!(stringify!($module), "::", stringify!($case)),
            Box::new(|db| -> Running { Box::pin($module::$case(db)) }) as Case,
        ),)+)+]
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_postgres() {
    World::run(None, cases()).await;
}

/// What differs between versions: rights of the catalog's login, and what PUBLIC begins with.
#[tokio::test(flavor = "multi_thread")]
async fn on_the_other_versions() {
    let others = std::env::var_os("TENANTRY_TEST_PG_BINS").unwrap_or_default();
    for bin_dir in std::env::split_paths(&others) {
        let mut cases = cases();
        cases.retain(|(name, _)| {
            ["router_login", "migrating", "shares"]
                .iter()
                .any(|module| name.starts_with(module))
        });
        World::run(Some(bin_dir), cases).await;
    }
}

fn cases() -> Vec<(&'static str, Case)> {
    cases![
        births {
            a_claim_is_its_drivers_and_takes_the_logins_along,
            an_opening_is_its_drivers_and_is_told_of_once,
            an_opening_that_waits_for_a_row_holds_up_no_change,
            an_opening_that_waits_for_the_number_gets_the_next_one,
        }
        changes {
            numbers_are_in_the_order_of_the_commits,
            a_notification_carries_the_number_and_comes_with_the_commit,
            pruning_spares_what_a_live_router_lacks_and_the_newest_row,
            a_router_counts_until_its_lease_ends,
        }
        directory {
            an_address_leads_to_its_active_tenants_oldest_first,
            a_row_that_was_just_confirmed_is_not_forgotten,
            a_tenant_is_compared_by_one_at_a_time_and_again_after_a_while,
            another_key_makes_a_tenant_due,
        }
        databases {
            two_who_want_a_spare_get_different_ones,
            a_claimed_database_is_nobody_elses,
            a_name_is_taken_once_per_cluster,
        }
        fleet {
            a_migration_covers_tenants_and_spares_but_none_in_the_making,
        }
        journal {
            lines_are_numbered_in_order_also_when_written_at_once,
            a_turn_says_what_is_done_before_what_begins,
            secrets_are_taken_once_and_the_answer_outlives_the_operation,
        }
        keys {
            of_two_equal_requests_one_begins_an_operation,
            a_key_is_an_operators_own,
            a_revoked_token_is_unknown_and_the_name_is_free,
            a_token_ends_and_the_one_before_it_does,
            the_last_use_of_a_token_is_written_now_and_then,
            two_first_starts_agree_on_one_installation,
            a_cluster_has_its_name_and_address_alone,
        }
        leases {
            a_worker_that_stops_within_a_transaction_does_not_keep_its_locks,
            a_worker_with_an_old_fence_changes_nothing,
            only_a_lease_that_has_ended_is_taken,
            of_many_workers_each_operation_gets_one,
            a_held_operation_is_not_taken_and_still_renewed,
            a_claim_in_flight_makes_the_old_worker_wait_and_lose,
            a_tenant_has_one_operation_at_a_time,
            of_two_operations_begun_at_once_one_is_refused,
            a_parked_operation_is_left_alone,
            a_parked_operation_gives_way_to_the_one_that_supersedes_it,
            a_kind_that_is_about_the_fleet_runs_once,
        }
        migrating {
            two_who_migrate_at_once_both_succeed,
            an_unmigrated_or_changed_catalog_is_refused,
            a_login_of_the_server_cannot_connect,
            a_database_that_cannot_be_closed_is_an_error,
            a_catalog_that_is_down_is_unavailable_at_once,
            a_catalog_is_created_once,
        }
        names {
            no_custom_domain_is_served_without_a_claim,
            of_two_who_serve_a_domain_at_once_one_waits_and_finds_it_taken,
            a_claim_that_is_due_is_taken_once_and_not_of_a_deleted_tenant,
            one_domain_is_primary_and_the_slugs_where_none_is_named,
            an_alias_leads_to_one_tenant_and_a_token_is_not_kept,
            domains_from_before_there_was_a_proof_have_to_be_proven,
        }
        router_login {
            it_reads_what_routing_needs_and_nothing_else,
            what_it_plants_is_not_run_by_the_catalogs_functions,
            nobody_is_let_in_who_could_create_where_names_are_looked_for,
            its_password_is_in_no_statement,
            made_many_times_at_once_it_is_one_login,
            grants_are_repaired_and_a_lost_password_is_made_anew,
            without_the_right_to_make_roles_there_is_none,
            a_router_is_its_logins_alone,
            a_login_that_could_write_the_table_gets_the_functions,
        }
        sealing {
            every_table_with_sealed_secrets_is_counted_and_sealed_anew,
            an_answer_of_an_idempotency_key_is_sealed_anew,
            a_secret_is_sealed_anew_unless_somebody_has_changed_it,
            a_rotation_is_due_by_the_age_of_the_login_and_not_again_at_once,
        }
        shares {
            a_single_router_gets_all_of_it_when_it_wants_it,
            two_that_want_too_much_get_half_each,
            what_nobody_uses_goes_to_who_wants_it,
            more_routers_than_slots_take_turns,
            an_overtaken_or_foreign_report_gives_nothing_back,
            a_dead_routers_share_is_freed_only_after_it_was_seen_gone,
            a_lower_budget_is_asked_back_and_a_higher_one_handed_out,
            a_cluster_that_is_locked_keeps_no_lease_from_being_renewed,
            a_report_settles_the_clusters_that_it_names_and_no_others,
            a_writer_that_is_stuck_costs_no_lease_and_no_share,
            a_router_that_says_absurd_things_is_in_nobodys_way,
            a_lease_that_ended_begins_anew_with_its_shares_or_not_at_all,
            whatever_routers_say_the_budget_holds,
        }
        routes {
            the_number_comes_also_without_a_row,
            a_route_tells_the_way_to_the_database,
            row_and_number_are_of_one_moment,
            a_row_we_would_not_have_written_is_named,
        }
        standing {
            a_common_state_is_estimated_and_a_rare_one_counted,
            databases_behind_are_those_of_tenants_that_are_not_deleted,
            what_is_stuck_is_named,
            a_router_is_behind_since_the_change_it_lacks,
        }
        tenants {
            a_slug_and_a_domain_lead_to_one_tenant,
            pages_follow_each_other_without_gaps,
            search_takes_its_text_literally,
            a_purge_frees_the_names_and_forgets_no_database,
            what_is_due_for_purge_has_no_open_operation,
        }
        trail {
            nobody_changes_or_removes_a_row,
            what_was_changed_removed_or_added_shows,
            a_head_that_was_kept_shows_a_chain_that_was_written_anew,
            a_transaction_that_commits_late_is_sealed_later,
            one_at_a_time_seals,
            the_end_of_an_operation_completes_its_row,
        }
        words {
            are_those_of_the_checks,
        }
    ]
}
