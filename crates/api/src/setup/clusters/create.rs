//! `POST /setup/clusters`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde::Serialize;
use tenantry_catalog::clusters::{Placement, TlsMode};
use tenantry_lifecycle::{NewCluster, WayIn};
use tenantry_types::{DbHost, DbName, RoleName, RootCa};
use utoipa::ToSchema;

use super::request::{MOST_CONNECTIONS, MOST_TENANTS, MOST_WEIGHT, fits, int, some_region, tls};
use super::{Preflight, View};
use crate::app::App;
use crate::context::Operator;
use crate::fields::{Fields, FromFields, line};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// A cluster to register, checked.
pub(crate) struct Request {
    new: NewCluster,
    check: bool,
}

/// A Postgres server to register, and its admin login: one with CREATEDB, CREATEROLE and
/// `pg_signal_backend`, no superuser.
#[derive(ToSchema)]
#[schema(
    as = NewCluster, rename_all = "camelCase",
    examples(json!({
        "name": "eu-2", "host": "db-2.internal", "adminLogin": "tenantry_admin", "adminPassword": "correct horse battery",
        "region": "eu-central", "capacity": 500
    }))
)]
#[expect(
    dead_code,
    reason = "only described: `Request` is what its fields are read into"
)]
pub(crate) struct Written {
    name: words::ClusterName,
    host: words::HostName,
    /// By default 5432.
    #[schema(required = false)]
    port: words::Port,
    /// By default `verify-full`.
    #[schema(required = false)]
    tls: words::ClusterTls,
    /// The authority of its certificate, where that is no public one; with `verify-full`.
    #[schema(required = false)]
    root_ca: words::RootCa,
    admin_login: words::DatabaseName,
    /// Its password. It is kept sealed and never told.
    admin_password: words::Secret,
    /// The database that the admin works from, by default `postgres`.
    #[schema(required = false)]
    admin_database: words::DatabaseName,
    #[schema(required = false)]
    region: words::Region,
    /// Its share of the tenants that ask for no cluster, by default 100; 0: none.
    #[schema(required = false, minimum = 0, maximum = 1000)]
    weight: u32,
    /// How many tenants it may hold; by default as many as come.
    #[schema(required = false, minimum = 1, maximum = 1_000_000)]
    capacity: u32,
    /// How many connections may be open there, over all tenants and routers; by default the largest that leaves
    /// room for admin work and migrations.
    #[schema(required = false, minimum = 1, maximum = 262_143)]
    connection_budget: u32,
    /// Only look; write nothing.
    #[schema(required = false)]
    check: bool,
}

impl FromFields for Request {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name", name);
        let host = fields.required("host", DbHost::parse);
        let port = fields.number("port", 1, u64::from(u16::MAX));
        let tls = fields.optional("tls", tls).unwrap_or(TlsMode::VerifyFull);
        let root_ca = fields.optional("rootCa", RootCa::parse);
        fits(fields, tls, root_ca.as_ref());
        let login = fields.required("adminLogin", |text| RoleName::parse(text));
        let password = fields.required_secret("adminPassword");
        let database = fields.optional("adminDatabase", |text| DbName::parse(text));
        let region = fields.optional("region", some_region);
        let weight = fields.number("weight", 0, MOST_WEIGHT);
        let capacity = fields.number("capacity", 1, MOST_TENANTS);
        let budget = fields.number("connectionBudget", 1, MOST_CONNECTIONS);
        let check = fields.flag("check");
        let maintenance_db = match database {
            Some(database) => database,
            None => DbName::parse("postgres").ok()?,
        };
        let mut placement = Placement {
            capacity: capacity.map(int),
            region,
            ..Placement::default()
        };
        if let Some(weight) = weight {
            placement.weight = int(weight);
        }
        let way = WayIn {
            host: host?,
            port: port
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(5432),
            tls,
            root_ca,
            maintenance_db,
            login: login?,
            password: password?,
        };
        Some(Self {
            new: NewCluster {
                name: name?,
                way,
                placement,
                budget: budget.map(int),
            },
            check: check.unwrap_or(false),
        })
    }
}

/// What was seen, and the cluster, unless it was only looked.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedCluster)]
pub(crate) struct Created {
    /// Absent where `check` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    cluster: Option<View>,
    preflight: Preflight,
}

/// Registers a Postgres server for tenants, which are put there from then on. It is looked at first: that it is
/// reached, speaks TLS as asked, lets the admin in with the rights that are needed, is no standby, is no cluster
/// already, by no other name either, and belongs to no other installation. What keeps it from being used is told
/// with 422 `CLUSTER_UNFIT`, a sentence per point in `errors`, and nothing was written then, neither there nor here.
#[utoipa::path(
    post, path = "/setup/clusters", tag = "clusters", operation_id = "addCluster",
    request_body = Written,
    responses(
        (status = 200, description = "It is fit; nothing was written, as `check` asks.", body = Created),
        (
            status = 201,
            description = "The cluster, and what was seen of its server.",
            body = Created,
            headers(("location" = String, description = "The cluster.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "BUDGET_TOO_LARGE", "CLUSTER_EXISTS", "CLUSTER_REFUSED", "CLUSTER_UNAVAILABLE", "CLUSTER_UNFIT",
        "CLUSTER_UNSUITABLE", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    if request.check {
        let look = app.lifecycle.look_at_cluster(&request.new).await?;
        let seen = Created {
            cluster: None,
            preflight: look.into(),
        };
        return Ok(Json(seen).into_response());
    }
    let (cluster, look) = app
        .lifecycle
        .add_cluster(&request.new, &operator.asker())
        .await?;
    let location = format!("/setup/clusters/{}", cluster.id);
    let created = Created {
        cluster: Some(View::one(&app, cluster).await?),
        preflight: look.into(),
    };
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(created)).into_response())
}

/// A name that is not taken for an id where a path names a cluster.
fn name(text: &str) -> Result<String, String> {
    let name = line(text, 1, 100)?;
    match name.parse::<tenantry_types::ClusterId>() {
        Ok(_) => Err("must not be written like an id".to_owned()),
        Err(_) => Ok(name),
    }
}
