//! The templates of pages and mails: the embedded ones, and those of the operator and of the application that replace them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Template, TemplateSource, UndefinedBehavior, Value};

use crate::config::Config;
use crate::events::Event;

/// The folder of the templates of mails.
pub(crate) const MAIL: &str = "mail/";

/// Embedded templates, each with its name. A file of the same name in `templates_dir` replaces one, within a folder of the same
/// name.
pub(crate) type Embedded = &'static [(&'static str, &'static str)];

/// Embedded templates, and those that replace them.
pub(crate) struct TemplateSet {
    names: Embedded,
    embedded: Environment<'static>,
    /// The templates of the operator and of the application, before the embedded ones.
    replaced: Option<Environment<'static>>,
}

impl TemplateSet {
    pub(crate) fn new(names: Embedded, config: &Config) -> Self {
        Self {
            names,
            embedded: environment(move |name| Ok(embedded(names, name).map(TemplateSource::from))),
            replaced: replaced(names, config),
        }
    }

    /// Whether the operator or the application has templates.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.is_some()
    }

    /// Whether the operator or the application has a template of this name, or there is an embedded one.
    pub(crate) fn has(&self, name: &str) -> bool {
        let is_there = |error: &Error| error.kind() != ErrorKind::TemplateNotFound;
        let replaced = self.replaced.as_ref().map(|replaced| replaced.get_template(name));
        embedded(self.names, name).is_some() || replaced.is_some_and(|found| found.as_ref().err().is_none_or(is_there))
    }

    /// Renders a template. If a replaced template cannot be rendered, the error is logged and the embedded one is used.
    pub(crate) fn render(&self, name: &str, values: &Value) -> Result<String, Error> {
        self.render_with(name, |template| template.render(values))
    }

    /// The same with another way to render it.
    pub(crate) fn render_with<T>(
        &self,
        name: &str,
        render: impl Fn(&Template<'_, '_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(replaced) = &self.replaced {
            match replaced.get_template(name).and_then(|template| render(&template)) {
                Ok(rendered) => return Ok(rendered),
                // There is no embedded template to use instead.
                Err(error) if embedded(self.names, name).is_none() => return Err(error),
                Err(error) => Event::TemplateError { template: name, error: &words(name, &error) }.record(),
            }
        }
        render(&self.embedded.get_template(name)?)
    }
}

/// An error for the log. The message of an error in a mail may quote a value, such as the link, so only its kind and its place
/// are told.
pub(crate) fn words(name: &str, error: &Error) -> String {
    if !name.starts_with(MAIL) {
        return format!("{error:#}");
    }
    let (place, line) = (error.name().unwrap_or(name), error.line().unwrap_or_default());
    format!("{} (in {place}:{line})", error.kind())
}

fn environment(
    load: impl Fn(&str) -> Result<Option<TemplateSource>, Error> + Send + Sync + 'static,
) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(escaping);
    environment.set_auto_reload(true);
    environment.set_loader(load);
    environment
}

/// Everything is HTML but the text of mails.
fn escaping(name: &str) -> AutoEscape {
    if name.starts_with(MAIL) && name.ends_with(".txt") { AutoEscape::None } else { AutoEscape::Html }
}

fn embedded(names: Embedded, name: &str) -> Option<&'static str> {
    names.iter().find(|(known, _)| *known == name).map(|(_, source)| *source)
}

/// The operator's templates, then the application's, then the embedded ones; none if there are only embedded ones.
fn replaced(names: Embedded, config: &Config) -> Option<Environment<'static>> {
    let folder = config.templates_dir.clone();
    let given: HashMap<String, String> = config.templates.iter().cloned().collect();
    if folder.is_none() && given.is_empty() {
        return None;
    }
    let mut replaced = environment(move |name| {
        let beneath = || given.get(name).cloned().or_else(|| embedded(names, name).map(str::to_owned));
        match &folder {
            Some(folder) => load(folder, name, beneath),
            None => Ok(beneath().map(TemplateSource::from)),
        }
    });
    for (name, value) in &config.globals {
        replaced.add_global(name.clone(), value.as_str());
    }
    Some(replaced)
}

/// The operator's file of this name if it exists, and `beneath` otherwise. The template is loaded again once the file changes,
/// appears or disappears.
fn load(folder: &Path, name: &str, beneath: impl FnOnce() -> Option<String>) -> Result<Option<TemplateSource>, Error> {
    if !is_within_folder(name) {
        return Ok(None);
    }
    let path = folder.join(name);
    let seen = stamp(&path);
    let source = match seen {
        Some(_) => Some(fs::read_to_string(&path).map_err(|error| {
            Error::new(ErrorKind::InvalidOperation, format!("cannot read {}: {error}", path.display()))
        })?),
        None => beneath(),
    };
    Ok(source.map(|source| TemplateSource::new(source).with_uptodate_check(up_to_date(path, seen))))
}

/// Whether a template's name leads to a visible file within the folder, or within a folder of it.
fn is_within_folder(name: &str) -> bool {
    !name.contains(['\\', '\0']) && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// When a file was last written, and how long it is.
type Stamp = (SystemTime, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn up_to_date(path: PathBuf, seen: Option<Stamp>) -> impl Fn() -> bool + Send + Sync + 'static {
    move || stamp(&path) == seen
}

#[cfg(test)]
mod tests {
    use handstamp_testing::TempFolder;

    use super::*;

    #[test]
    fn templates_outside_the_template_folder_are_not_loaded() {
        let folder = TempFolder::new();
        let folder = folder.path();
        fs::create_dir(folder.join("inside")).unwrap();
        fs::write(folder.join("outside.html"), "outside").unwrap();
        let inside = folder.join("inside");
        fs::create_dir_all(inside.join(".git")).unwrap();
        fs::create_dir_all(inside.join("account")).unwrap();
        for hidden in [".hidden", ".git/config", "account/.hidden"] {
            fs::write(inside.join(hidden), "hidden").unwrap();
        }
        fs::write(inside.join("account/index.html"), "inside").unwrap();
        assert!(load(&inside, "account/index.html", || None).unwrap().is_some(), "names have folders");
        for name in [
            "../outside.html",
            "account/../../outside.html",
            "account/..",
            "/etc/passwd",
            "//etc/passwd",
            "account//etc/passwd",
            "..\\outside.html",
            "account\\..\\..\\outside.html",
            ".hidden",
            ".git/config",
            "account/.hidden",
            "./account/index.html",
            "account/index.html/",
            "outside.html\0",
            "",
        ] {
            assert!(load(&inside, name, || None).unwrap().is_none(), "{name}");
        }
        let absolute = folder.join("outside.html");
        assert!(load(&inside, absolute.to_str().unwrap(), || None).unwrap().is_none(), "join would replace the folder");
    }
}
