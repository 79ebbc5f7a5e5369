//! The modules of each crate use one another without a cycle, as read from their sources: siblings in a folder form a
//! hierarchy, and so do the folders.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const CRATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

type ModulePath = Vec<String>;

/// The modules of a crate by path, each with its code without comments, strings and tests.
type Modules = BTreeMap<ModulePath, String>;

fn read_modules(file: &Path, path: &ModulePath, modules: &mut Modules) {
    let code = without_tests(&plain_code(&fs::read_to_string(file).unwrap()));
    let folder = match file.file_name().unwrap().to_str().unwrap() {
        "lib.rs" | "main.rs" | "mod.rs" => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    for name in declared_modules(&code) {
        let child = [path.as_slice(), std::slice::from_ref(&name)].concat();
        let files = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
        if let Some(file) = files.iter().find(|file| file.exists()) {
            read_modules(file, &child, modules);
        }
    }
    modules.insert(path.clone(), code);
}

/// Code without line comments and string literals.
fn plain_code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let mut is_string = false;
        let mut before = ' ';
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '/' if !is_string && characters.peek() == Some(&'/') => break,
                '"' if before != '\\' && before != '\'' => is_string = !is_string,
                _ if is_string => {}
                _ => code.push(character),
            }
            before = character;
        }
        code.push('\n');
    }
    code
}

/// The part before the test modules, which stand last, and without declarations that are for tests only.
fn without_tests(code: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            match lines.next() {
                Some(next) if next.starts_with("mod tests {") => break,
                _ => continue,
            }
        }
        kept.push(line);
    }
    kept.join("\n")
}

fn declared_modules(code: &str) -> Vec<String> {
    let declared = code.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"))?.1;
        line.strip_suffix(';').map(str::to_owned)
    });
    declared.collect()
}

/// The imported paths of code, each with the name that it has there.
fn imports(code: &str) -> BTreeSet<(String, String)> {
    let mut paths = BTreeSet::new();
    for (tree, _) in code.split("use ").skip(1).filter_map(|rest| rest.split_once(';')) {
        let tree = tree.split_whitespace().map(|word| if word == "as" { " as " } else { word });
        spread(&tree.collect::<String>(), "", &mut paths);
    }
    let last = |path: &str| path.rsplit("::").next().unwrap_or_default().to_owned();
    let named = paths.into_iter().map(|path| match path.split_once(" as ") {
        Some((path, name)) => (path.to_owned(), name.to_owned()),
        None => (path.clone(), last(&path)),
    });
    named.collect()
}

/// The paths that code names: each `use` tree spread out, and each path in place that begins in this crate.
fn named_paths(code: &str) -> BTreeSet<String> {
    let mut paths: BTreeSet<_> = imports(code).into_iter().map(|(path, _)| path).collect();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let is_path = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
            if !code[..at].ends_with(is_path) {
                let path: String = code[at..].chars().take_while(|character| is_path(*character)).collect();
                paths.insert(path.trim_end_matches(':').to_owned());
            }
        }
    }
    paths
}

fn spread(tree: &str, prefix: &str, paths: &mut BTreeSet<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        paths.insert(format!("{prefix}{tree}"));
        return;
    };
    let (mut depth, mut item) = (0, String::new());
    for character in rest.strip_suffix('}').unwrap_or(rest).chars().chain([',']) {
        match character {
            ',' if depth == 0 => spread(&std::mem::take(&mut item), &format!("{prefix}{head}"), paths),
            _ => {
                depth += i32::from(character == '{') - i32::from(character == '}');
                item.push(character);
            }
        }
    }
}

/// The module that a path leads to, as seen from another: through `crate`, `super` and `self`, and through the re-exports of
/// the modules on the way.
fn target(path: &str, from: &ModulePath, modules: &Modules) -> Option<ModulePath> {
    let mut segments = path.split("::").peekable();
    let mut at = match *segments.peek()? {
        "crate" => {
            segments.next();
            Vec::new()
        }
        "self" | "super" => from.clone(),
        first => {
            let child = [from.as_slice(), &[first.to_owned()]].concat();
            if !modules.contains_key(&child) {
                return None;
            }
            from.clone()
        }
    };
    for segment in segments {
        match segment {
            "self" => {}
            "super" => _ = at.pop(),
            name => {
                let child = [at.as_slice(), &[name.to_owned()]].concat();
                if modules.contains_key(&child) {
                    at = child;
                } else {
                    return Some(re_exported(name, &at, modules).unwrap_or(at));
                }
            }
        }
    }
    Some(at)
}

fn re_exported(name: &str, module: &ModulePath, modules: &Modules) -> Option<ModulePath> {
    imports(&modules[module]).into_iter().find_map(|(path, known_as)| {
        let first = path.split("::").next().unwrap_or_default();
        let is_child = modules.contains_key(&[module.as_slice(), &[first.to_owned()]].concat());
        (known_as == name && is_child).then(|| target(&path, module, modules))?
    })
}

/// For each folder, which of its modules use which others of it.
fn uses_of_siblings(modules: &Modules) -> BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> {
    let mut uses: BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, code) in modules {
        for path in named_paths(code) {
            let Some(to) = target(&path, from, modules) else { continue };
            let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            if common < from.len() && common < to.len() {
                let folder = uses.entry(from[..common].to_vec()).or_default();
                folder.entry(from[common].clone()).or_default().insert(to[common].clone());
            }
        }
    }
    uses
}

/// A cycle, as the modules on it in order.
fn cycle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        module: &str,
        uses: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|before| before == module) {
            return Some([&way[start..], &[module.to_owned()]].concat());
        }
        if done.contains(module) {
            return None;
        }
        way.push(module.to_owned());
        let found = uses.get(module).into_iter().flatten().find_map(|used| visit(used, uses, way, done));
        way.pop();
        done.insert(module.to_owned());
        found
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| visit(module, uses, &mut Vec::new(), &mut done))
}

#[test]
fn modules_use_one_another_without_a_cycle() {
    let mut edges = 0;
    let mut cycles = Vec::new();
    for (name, root) in [("handstamp-core", "lib.rs"), ("handstamp", "lib.rs"), ("handstamp-server", "main.rs")] {
        let mut modules = Modules::new();
        read_modules(&Path::new(CRATES).join(name).join("src").join(root), &Vec::new(), &mut modules);
        for (folder, uses) in uses_of_siblings(&modules) {
            edges += uses.values().map(BTreeSet::len).sum::<usize>();
            if let Some(cycle) = cycle(&uses) {
                cycles.push(format!("{name}/{}: {}", folder.join("/"), cycle.join(" -> ")));
            }
        }
    }
    assert_eq!(cycles, [""; 0], "cycles between modules, each with its folder");
    assert!(edges > 150, "only {edges} uses were found");
}

#[test]
fn a_cycle_is_found_through_imports_paths_and_re_exports() {
    let module = |path: &str| path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let found = |sources: &[(&str, &str)]| {
        let modules: Modules = sources.iter().map(|(path, code)| (module(path), (*code).to_owned())).collect();
        uses_of_siblings(&modules).values().find_map(cycle).map(|cycle| cycle.join(" "))
    };
    assert_eq!(found(&[("", ""), ("a", "use crate::b::{self, C};"), ("b", "fn f() {}")]), None);
    assert_eq!(found(&[("", ""), ("a", "use crate::b::C;"), ("b", "fn f() { crate::a::f() }")]).unwrap(), "a b a");
    let re_exported = [
        ("", ""),
        ("a", "pub(crate) use inner::{Thing, other};"),
        ("a/inner", "use super::next::X;"),
        ("a/next", "use super::Thing;"),
    ];
    assert_eq!(found(&re_exported).unwrap(), "inner next inner");
    let renamed = [("", ""), ("a", "use crate::{b as other, c::D as Asd};"), ("b", "use super::a;"), ("c", "")];
    assert_eq!(found(&renamed).unwrap(), "a b a");
    let re_exported_by_another_name = [
        ("", ""),
        ("a", "pub(crate) use inner::Thing as Password;"),
        ("a/inner", "use super::next::X;"),
        ("a/next", "use super::Password;"),
    ];
    assert_eq!(found(&re_exported_by_another_name).unwrap(), "inner next inner");
}
