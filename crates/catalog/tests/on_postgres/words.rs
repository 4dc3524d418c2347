//! The words that columns take, in the program and in the database.

use std::collections::BTreeSet;

use tenantry_catalog::{
    aliases, change_log, clusters, databases, domain_claims, domains, journal, logins, operations,
    operators, temporary_logins, tenants,
};

use crate::world::Db;

pub async fn are_those_of_the_checks(db: Db) {
    let mut conn = db.conn().await;
    macro_rules! same {
        ($constraint:literal, $words:ty) => {
            let definition: String = sqlx::query_scalar(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1",
            )
            .bind($constraint)
            .fetch_one(&mut conn)
            .await
            .expect($constraint);
            // 'a'::text, 'b'::text: every second piece is a word.
            let database: BTreeSet<_> = definition.split('\'').skip(1).step_by(2).collect();
            let program: BTreeSet<_> = <$words>::ALL.iter().map(|word| word.as_str()).collect();
            assert_eq!(database, program, $constraint);
            for word in <$words>::ALL {
                assert_eq!(word.as_str().parse::<$words>().as_ref(), Ok(word));
            }
            let refused = "".parse::<$words>().expect_err("no word");
            let named: Vec<_> = refused
                .to_string()
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect();
            assert_eq!(
                named,
                <$words>::ALL
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            );
            assert!(refused.to_string().ends_with('`'), "{refused}");
        };
    }
    same!("tenants_status_known", tenants::Status);
    same!("domains_kind_known", domains::Kind);
    same!("domain_claims_outcome_known", domain_claims::Outcome);
    same!("aliases_kind_known", aliases::Kind);
    same!("databases_state_known", databases::State);
    same!("logins_role_known", logins::LoginRole);
    same!("operations_status_known", operations::Status);
    same!("operation_steps_event_known", journal::Event);
    same!("changes_kind_known", change_log::Kind);
    same!("temporary_logins_role_known", temporary_logins::Role);
    same!("clusters_tls_known", clusters::TlsMode);
    same!("operators_role_known", operators::Role);
}
