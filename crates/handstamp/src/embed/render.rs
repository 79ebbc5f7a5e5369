//! Renders the pages of an application in Handstamp's layout.

use axum::response::{Html, IntoResponse, Response};
use minijinja::{Value, context};

use super::CurrentUser;
use crate::Handstamp;
use crate::error::Error;
use crate::internal_error::InternalError;

impl Handstamp {
    /// Renders a page of the application: a template of its own, from `templates` or `templates_dir`, which may extend
    /// `layout.html` as ours do. The template gets `values`, and those of every page: `site_name`, `prefix`, `stylesheet`,
    /// `registration_open`, and `visitor` with a `name` and an `email` if the user is signed in.
    ///
    /// ```no_run
    /// # use axum::response::Response;
    /// # use handstamp::{CurrentUser, Error, Handstamp};
    /// # fn page(handstamp: &Handstamp, user: &CurrentUser) -> Result<Response, Error> {
    /// // {% extends "layout.html" %}{% block main %}<h1>Notes</h1><p>{{ notes|length }} so far</p>{% endblock %}
    /// handstamp.render("notes.html", Some(user), std::collections::HashMap::from([("notes", ["milk", "bread"])]))
    /// # }
    /// ```
    ///
    /// The response has the security headers of our own pages. Its Content-Security-Policy leaves scripts and images to the
    /// application: it only forbids frames around the page, a `<base>`, and forms to other sites. A header that you set replaces
    /// ours.
    ///
    /// # Errors
    /// When there is no such template, or it cannot be rendered.
    pub fn render(
        &self,
        template: &str,
        user: Option<&CurrentUser>,
        values: impl serde::Serialize,
    ) -> Result<Response, Error> {
        let site = self.shared_site();
        let templates = &site.templates;
        let visitor = templates.visitor(user.map(|user| &**user.live_session()));
        let values = Value::from(minijinja::value::Serde(values));
        let html =
            templates.render(template, context! { nav => true, visitor, ..values }).map_err(InternalError::from)?;
        let mut response = Html(html).into_response();
        site.headers.add_to_page_of_application(response.headers_mut());
        Ok(response)
    }
}
