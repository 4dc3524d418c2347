//! On which cluster a new tenant is put.
//!
//! Who asks for a cluster gets that one or a refusal. Among the others the one goes first where a further
//! tenant would have most: the connections of the budget shared by its tenants and this one, times the weight,
//! times the part of its places that is free. So equal clusters fill up evenly, and others in proportion to
//! budget and weight. Of equals the oldest is first.

use std::cmp::Ordering;

use sqlx::PgConnection;
use tenantry_catalog::clusters::{self, Candidate, Cluster, Place};

use crate::create::{ClusterChoice, CreateTenant};
use crate::error::StartError;

/// The clusters to be tried, the first one first; never none.
pub(crate) async fn choose(
    conn: &mut PgConnection,
    wanted: &CreateTenant,
) -> Result<Vec<Cluster>, StartError> {
    let region = wanted.region.as_deref();
    if let Some(pinned) = pinned(conn, &wanted.cluster).await? {
        if !pinned.accepts {
            return Err(StartError::ClusterDraining);
        }
        let there = region.is_none() || pinned.placement.region.as_deref() == region;
        return there.then(|| vec![pinned]).ok_or(StartError::OtherRegion);
    }
    let found = clusters::candidates(conn, region).await?;
    if found.is_empty() {
        return Err(match region {
            Some(region) if !clusters::region_exists(conn, region).await? => {
                StartError::UnknownRegion
            }
            None if clusters::default(conn).await?.is_none() => StartError::NoCluster,
            _ => StartError::NoCapacity,
        });
    }
    let ranked = ranked(found);
    match ranked.is_empty() {
        true => Err(StartError::NoCapacity),
        false => Ok(ranked),
    }
}

async fn pinned(
    conn: &mut PgConnection,
    choice: &ClusterChoice,
) -> Result<Option<Cluster>, StartError> {
    let found = match choice {
        ClusterChoice::Any => return Ok(None),
        ClusterChoice::Named(name) => clusters::by_name(conn, name).await?,
        ClusterChoice::At { host, port } => {
            clusters::by_address(conn, host.as_str(), *port).await?
        }
    };
    found.map(Some).ok_or(StartError::UnknownCluster)
}

/// Why there was no place; none: there is one, and it is held.
pub(crate) fn refusal(place: Place) -> Option<StartError> {
    match place {
        Place::Held => None,
        Place::Full => Some(StartError::NoCapacity),
        Place::Draining => Some(StartError::ClusterDraining),
        Place::Gone => Some(StartError::UnknownCluster),
        Place::Changed => Some(StartError::WrongState(
            "the cluster was changed at the same time; try again",
        )),
    }
}

/// Those with a free place, the best first.
fn ranked(mut found: Vec<Candidate>) -> Vec<Cluster> {
    found.retain(|one| free(one).0 > 0);
    // Stable: of equals the oldest stays first.
    found.sort_by(|a, b| compare(b, a));
    found.into_iter().map(|one| one.cluster).collect()
}

/// Free places, of how many; of one without a capacity all are free.
fn free(one: &Candidate) -> (u128, u128) {
    match one.cluster.placement.capacity {
        Some(capacity) => (capacity.saturating_sub(one.tenants).into(), capacity.into()),
        None => (1, 1),
    }
}

/// As fractions, so that nothing is rounded: the largest product has 118 bits.
fn compare(a: &Candidate, b: &Candidate) -> Ordering {
    let score = |one: &Candidate| {
        let (free, of) = free(one);
        let (weight, budget) = (one.cluster.placement.weight, one.cluster.connection_budget);
        let most = u128::from(weight) * u128::from(budget) * free;
        (most, of * (u128::from(one.tenants) + 1))
    };
    let ((a, per_a), (b, per_b)) = (score(a), score(b));
    (a * per_b).cmp(&(b * per_a))
}

#[cfg(test)]
mod tests {
    use tenantry_catalog::clusters::{Placement, TlsMode};
    use tenantry_types::Clock;
    use tenantry_vault::Sealed;
    use uuid::Uuid;

    use super::*;

    fn cluster(name: &str, budget: u32, weight: u32, capacity: Option<u32>) -> Candidate {
        let cluster = Cluster {
            id: Uuid::from_u128(1).into(),
            name: name.to_owned(),
            host: name.to_owned(),
            port: 5432,
            maintenance_db: "postgres".to_owned(),
            tls: TlsMode::Disable,
            admin_login: "adm".to_owned(),
            admin: Sealed {
                key_id: "k".to_owned(),
                bytes: Vec::new(),
            },
            connection_budget: budget,
            accepts: true,
            placement: Placement {
                weight,
                capacity,
                region: None,
            },
            root_ca: None,
            system_identifier: None,
            created_at: Clock::system().now(),
        };
        Candidate {
            cluster,
            tenants: 0,
        }
    }

    /// Puts so many tenants, one after another; how many each one has then.
    fn fill(mut clusters: Vec<Candidate>, tenants: usize) -> Vec<u32> {
        for _ in 0..tenants {
            let Some(first) = ranked(clusters.clone()).into_iter().next() else {
                break;
            };
            let one = clusters
                .iter_mut()
                .find(|one| one.cluster.name == first.name);
            one.expect("it is one of them").tenants += 1;
        }
        clusters.iter().map(|one| one.tenants).collect()
    }

    #[test]
    fn tenants_are_spread_by_weight_and_budget() {
        let of = |a: (u32, u32), b: (u32, u32)| {
            vec![cluster("a", a.0, a.1, None), cluster("b", b.0, b.1, None)]
        };
        assert_eq!(fill(of((100, 100), (100, 100)), 10), [5, 5]);
        assert_eq!(fill(of((100, 100), (100, 300)), 40), [10, 30]);
        assert_eq!(fill(of((50, 100), (200, 100)), 50), [10, 40]);
        assert_eq!(
            fill(of((100, 1), (100, 1)), 1),
            [1, 0],
            "the oldest of equals"
        );
    }

    #[test]
    fn a_full_one_gets_none_and_one_that_fills_up_gets_fewer() {
        let full = vec![
            cluster("a", 100, 100, Some(3)),
            cluster("b", 100, 100, Some(5)),
        ];
        assert_eq!(fill(full, 20), [3, 5]);
        let filling = vec![
            cluster("a", 100, 100, Some(10)),
            cluster("b", 100, 100, None),
        ];
        let [a, b] = fill(filling, 12)[..] else {
            panic!("two");
        };
        assert!(a < b && a >= 3, "{a} {b}");
    }

    #[test]
    fn the_largest_numbers_are_compared() {
        let mut large = cluster("a", 262_143, 1000, Some(i32::MAX as u32));
        let small = cluster("b", 1, 1, Some(1));
        assert_eq!(compare(&large, &small), Ordering::Greater);
        large.tenants = i32::MAX as u32 - 1;
        assert_eq!(compare(&large, &large.clone()), Ordering::Equal);
        assert_eq!(compare(&large, &small), Ordering::Less);
    }
}
