//! This crate on a real Postgres: one server, and a database for each case.
//!
//! One test function for all cases, since a runner that gives each test a process of its own
//! would start a server for each. `CASE=users` runs those with `users` in their name.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; the lint's own exception leaves out helpers"
)]
#![expect(
    clippy::print_stderr,
    reason = "says which of the cases failed, and how long each took"
)]

mod admins;
mod escalation;
mod identity;
mod migrations;
mod migrations_refused;
mod principals;
mod rotation;
mod seed;
mod server;
mod sessions;
mod sign_in_codes;
mod tenant;
mod users;

use server::{Case, cases};

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_postgres() {
    let cases: Vec<Case> = cases![
        identity::is_read_in_one_piece,
        identity::is_none_where_the_database_has_none,
        identity::that_may_not_be_read_is_an_error_of_its_own,
        migrations::bring_an_empty_database_up_and_change_nothing_the_second_time,
        migrations::are_applied_once_by_two_runs_at_the_same_time,
        migrations::wait_for_a_table_that_a_query_holds,
        migrations::leave_nothing_on_the_session,
        migrations::added_later_give_new_permissions_to_the_role_admin,
        migrations::keep_ledger_and_hashes_from_those_who_may_not,
        migrations_refused::when_one_fails_the_earlier_ones_stay_and_the_operator_reads_all_of_it,
        migrations_refused::when_a_shipped_one_was_edited,
        migrations_refused::when_one_was_applied_in_part,
        migrations_refused::when_the_database_is_ahead_which_can_be_served,
        migrations_refused::as_anybody_but_the_owner,
        seed::gives_three_roles_and_an_admin,
        seed::again_changes_nothing,
        seed::without_an_admin_gives_the_roles_alone,
        principals::hold_what_their_roles_allow,
        principals::are_nobody_without_a_live_session_of_an_active_person,
        users::come_in_pages_in_the_order_they_were_added,
        users::have_addresses_of_their_own,
        users::are_given_only_roles_that_exist,
        users::keep_what_a_change_leaves_out,
        users::are_changed_in_a_transaction_only,
        users::that_sign_in_are_found_by_address,
        users::lose_their_sessions_with_password_activity_or_account,
        escalation::nobody_gives_a_role_with_a_permission_they_lack,
        escalation::nobody_touches_a_person_with_a_permission_they_lack,
        escalation::an_equal_may_be_changed,
        admins::the_last_active_one_cannot_be_taken_away,
        admins::two_who_demote_each_other_at_once_leave_one,
        admins::two_who_remove_each_other_at_once_leave_one,
        sessions::begin_for_active_people_only,
        sessions::wait_for_a_deactivation_under_way,
        sessions::are_stored_without_their_token,
        sessions::end_by_token_and_by_their_own_person,
        sessions::long_over_are_cleared_away_at_the_next_sign_in,
        rotation::gives_the_next_token_of_the_same_session,
        rotation::of_a_used_token_ends_the_family,
        rotation::of_one_token_twice_at_once_has_one_winner_and_ends_the_family,
        rotation::is_refused_when_expired_ended_inactive_or_unknown,
        rotation::inside_a_transaction_is_refused,
        sign_in_codes::are_good_once_and_for_their_person,
        sign_in_codes::end_by_age_and_are_swept_by_the_next,
        sign_in_codes::are_few_per_person,
        sign_in_codes::stand_for_the_password_that_was_proven,
        sign_in_codes::are_nothing_without_an_active_person,
        sign_in_codes::are_stored_without_what_was_told,
        sign_in_codes::of_a_database_without_the_table_are_none,
        users::have_addresses_that_are_read_in_pages,
    ];
    server::run(cases).await;
}
