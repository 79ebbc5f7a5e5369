//! The page on which an administrator searches users, and invites persons.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::Timestamp;
use minijinja::{Value, context};
use uuid::Uuid;

use super::{admin_page, link, time};
use crate::format::{format_relative, format_rfc3339};
use crate::model::{Field, FieldErrors, FindUsers, FoundUser, Message, SearchPosition};
use crate::services::{ActError, Invite};
use crate::sessions::Session;
use crate::web::SharedSite;
use crate::web::extract::Administrator;
use crate::web::form::{FormFields, QueryFields};
use crate::web::pages::messages;
use crate::web::redirect::see_other;
use crate::web::web_error::WebError;

const HERE: &str = "/account/admin/users";
const USERS_OF_A_PAGE: usize = 50;
/// The longest text to search for, in characters: an address has no more.
const LONGEST_TEXT: usize = 254;

/// The invitation in the form of the page.
#[derive(Default)]
struct Form<'a> {
    email: &'a str,
    group: &'a str,
    errors: FieldErrors,
    status: StatusCode,
}

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    Administrator { session, .. }: Administrator,
    QueryFields(fields): QueryFields,
) -> Result<Response, WebError> {
    list_page(&site, &session, &fields, Form::default()).await
}

/// Invites a person, who gets the link by mail. The administrator does not see it.
pub(in crate::web) async fn invite(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    fields: FormFields,
) -> Result<Response, WebError> {
    let (email, group) = (fields.get("email")?.trim(), fields.get("group")?.trim());
    let groups: &[&str] = if group.is_empty() { &[] } else { &[group] };
    let invited = match Invite::parse("", email, groups) {
        Ok(invite) => site.services.mail_invitation(&context, invite).await,
        Err(errors) => Err(errors.into()),
    };
    match invited {
        Ok(()) => Ok(see_other(&site.urls.page("/account/admin/users?notice=invited"))),
        Err(ActError::Fields(errors)) => {
            let form = Form { email, group, errors, status: StatusCode::UNPROCESSABLE_ENTITY };
            list_page(&site, &session, &FormFields::parse(b"")?, form).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn list_page(
    site: &SharedSite,
    session: &Arc<Session>,
    fields: &FormFields,
    form: Form<'_>,
) -> Result<Response, WebError> {
    let text = fields.get("q")?.trim();
    let text: String = text.chars().filter(|c| *c != '\0').take(LONGEST_TEXT).collect();
    let after = match fields.get("after")? {
        "" => None,
        after => Some(position(after).ok_or_else(WebError::not_found)?),
    };
    let is_first = after.is_none();
    let query = FindUsers { text: text.clone(), after, limit: USERS_OF_A_PAGE };
    let found = site.services.find_users(&query).await?;
    let next = found.next.as_ref().map(|next| link(site, HERE, &[("q", &text), ("after", &position_text(next))]));
    let now = site.services.sessions.now();
    let notice = match fields.get("notice")? {
        "invited" => Some("The invitation is on its way."),
        "deleted" => Some("The account was deleted."),
        _ => None,
    };
    let can_invite = site.services.mail_is_on();
    let values = context! {
        q => text.as_str(),
        users => found.users.iter().map(|user| row(site, user, now)).collect::<Vec<_>>(),
        next,
        first => (!is_first).then(|| link(site, HERE, &[("q", &text)])),
        notice,
        can_invite => can_invite,
        why_not_invite => (!can_invite).then(|| Message::NoMailForOperators.to_string()),
        values => context! { email => form.email, group => form.group },
        errors => messages(&form.errors, &[Field::Email, Field::Group]),
    };
    admin_page(site, session, form.status, "admin/users.html", values)
}

fn row(site: &SharedSite, user: &FoundUser, now: Timestamp) -> Value {
    let FoundUser { id, name, email, email_verified, created_at, signed_in_at, disabled, groups } = user;
    context! {
        href => link(site, &format!("{HERE}/{id}"), &[]),
        name, email, email_verified, disabled, groups,
        created => time(*created_at),
        signed_in => signed_in_at.map(|at| context! { text => format_relative(at, now), iso => format_rfc3339(at) }),
    }
}

/// The position after which a page begins, as its URL has it.
fn position_text(position: &SearchPosition) -> String {
    match position {
        SearchPosition::Address(key) => format!("address:{key}"),
        SearchPosition::Name(key, id) => format!("name:{id}:{key}"),
        SearchPosition::Member(id) => format!("member:{id}"),
    }
}

fn position(text: &str) -> Option<SearchPosition> {
    if text.contains('\0') {
        return None;
    }
    match text.split_once(':')? {
        ("address", key) => Some(SearchPosition::Address(key.to_owned())),
        ("name", rest) => {
            let (id, key) = rest.split_once(':')?;
            Some(SearchPosition::Name(key.to_owned(), Uuid::try_parse(id).ok()?))
        }
        ("member", id) => Uuid::try_parse(id).ok().map(SearchPosition::Member),
        _ => None,
    }
}
