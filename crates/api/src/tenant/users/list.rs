//! `GET /users`

use axum::Json;
use tenantry_tenantdb::permission::UsersList;
use tenantry_tenantdb::users;

use super::View;
use crate::context::{Allowed, Items, Page, Query, UserCursor};
use crate::openapi::words;
use crate::problem::Problem;

/// A page of people in the order they were added.
#[utoipa::path(
    get, path = "/users", tag = "users", operation_id = "listUsers",
    params(
        ("limit" = Option<words::Limit>, Query, description = "How many at most."),
        (
            "cursor" = Option<words::Cursor>,
            Query,
            description = "`nextCursor` of the page before.",
        ),
    ),
    responses((status = 200, description = "A page of users.", body = Items<View>)),
)]
pub(crate) async fn handle(
    mut who: Allowed<UsersList>,
    Query(page): Query<Page<UserCursor>>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = who.conn().await?;
    let after = page.after.map(|UserCursor(id)| id);
    let (users, next) = users::page(&mut conn, &who.granted, page.limit, after).await?;
    conn.release();
    let items = users.into_iter().map(View::from);
    Ok(Json(Items::new(items, next.map(UserCursor))))
}
