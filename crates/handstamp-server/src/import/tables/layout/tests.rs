//! Tests of the names that tables and columns may have.

use super::*;

/// Tables as `name: column column`, of which a column with an asterisk is the key.
fn tables(texts: &[&str]) -> Vec<Table> {
    let table = |text: &&str| {
        let (name, columns) = text.split_once(": ").unwrap();
        let key = columns.split(' ').find_map(|column| column.strip_suffix('*')).map(str::to_owned);
        let column = |name: &str| Column { name: name.trim_end_matches('*').to_owned(), is_bytes: false };
        Table { schema: None, name: name.to_owned(), columns: columns.split(' ').map(column).collect(), key }
    };
    texts.iter().map(table).collect()
}

fn rules(system: System) -> Rules {
    Rules { system, groups: vec![], without: vec![], all_verified: false, hmac: false }
}

fn found(system: System, texts: &[&str]) -> Result<Layout, String> {
    find(&rules(system), &tables(texts), None, &[])
}

fn mapped(system: System, texts: &[&str], table: Option<&str>, map: &[&str]) -> Result<Layout, String> {
    let map: Vec<MappedColumn> = map.iter().map(|text| text.parse().unwrap()).collect();
    find(&rules(system), &tables(texts), table, &map)
}

fn disabled(layout: &Layout) -> Vec<(&str, Disables)> {
    layout.disabled.iter().map(|(column, disables)| (column.as_str(), *disables)).collect()
}

#[test]
fn a_table_of_the_guides_of_flask_is_found() {
    let layout = found(
        System::Flask,
        &[
            "post: id* title",
            "user: id* username Email pw_hash active confirmed_at created_at",
            "alembic_version: version_num",
        ],
    )
    .unwrap();
    assert_eq!((layout.table.name.as_str(), layout.email.as_str()), ("user", "Email"));
    assert_eq!(layout.password, Some(PasswordColumn::Column("pw_hash".to_owned())));
    assert_eq!(layout.verified, Some(VerifiedColumn::Column("confirmed_at".to_owned())));
    assert_eq!((layout.created.as_deref(), layout.legacy_id.as_deref()), (Some("created_at"), Some("id")));
    assert_eq!(layout.names, [["username"]]);
    assert_eq!(disabled(&layout), [("active", Disables::False)]);
    assert_eq!(layout.groups, None);
}

#[test]
fn roles_are_found_by_the_table_of_memberships() {
    let layout = found(
        System::Flask,
        &["role: id* name", "roles_users: user_id role_id", "user: id* email password first_name last_name username"],
    )
    .unwrap();
    let Some(GroupsColumn::Memberships(memberships)) = layout.groups else { panic!() };
    let Memberships { table, user, group, names, key, name } = *memberships;
    assert_eq!((table.name.as_str(), user.as_str(), group.as_str()), ("roles_users", "user_id", "role_id"));
    assert_eq!((names.name.as_str(), key.as_str(), name.as_str()), ("role", "id", "name"));
    assert_eq!(layout.names, vec![vec!["first_name", "last_name"], vec!["username"]]);
}

#[test]
fn a_custom_model_of_django_is_found_with_its_groups() {
    let tables = [
        "auth_group: id* name",
        "members_member: id* password last_login is_superuser email full_name is_active created",
        "members_member_groups: id* member_id group_id",
        "newsletter: id* email password",
    ];
    let layout = found(System::Django, &tables).unwrap();
    assert_eq!((layout.table.name.as_str(), layout.verified.is_none()), ("members_member", true));
    assert!(matches!(layout.groups, Some(GroupsColumn::Memberships(by)) if by.user == "member_id"));
    let allauth = [&tables[..], &["account_emailaddress: id* user_id email verified primary"]].concat();
    let layout = found(System::Django, &allauth).unwrap();
    assert!(matches!(layout.verified, Some(VerifiedColumn::Addresses(_))));
}

#[test]
fn every_column_that_stops_a_user_counts() {
    let layout =
        found(System::Devise, &["users: id* email encrypted_password confirmed_at locked_at banned active deleted_at"]);
    let layout = layout.unwrap();
    let all = [
        ("active", Disables::False),
        ("banned", Disables::True),
        ("locked_at", Disables::Set),
        ("deleted_at", Disables::Set),
    ];
    assert_eq!(disabled(&layout), all);
}

#[test]
fn the_password_of_better_auth_is_in_its_accounts() {
    let user = "user: id* name email emailVerified createdAt";
    let layout = found(System::BetterAuth, &[user, "account: id* userId providerId password"]).unwrap();
    assert!(matches!(layout.password, Some(PasswordColumn::Account { user, .. }) if user == "userId"));
    let snake = ["users: id* email email_verified", "accounts: id* user_id provider_id password"];
    assert!(found(System::BetterAuth, &snake).is_ok());
    assert!(
        found(System::BetterAuth, &[user, "post: id*"])
            .unwrap_err()
            .starts_with("no tables have columns such as userId")
    );
}

#[test]
fn several_candidates_are_named_and_none_is_taken() {
    let several = ["admins: id* email encrypted_password", "users: id* email encrypted_password"];
    let error = found(System::Devise, &several).unwrap_err();
    assert!(error.contains("admins, users") && error.contains("--table"), "{error}");
    assert_eq!(mapped(System::Devise, &several, Some("users"), &[]).unwrap().table.name, "users");
    let columns = ["user: id* email password password_hash"];
    let error = found(System::Flask, &columns).unwrap_err();
    assert!(error.contains("password_hash, password") && error.contains("--map COLUMN=password_hash"), "{error}");
    assert!(mapped(System::Flask, &columns, None, &["password=password_hash"]).is_ok());
}

#[test]
fn what_is_not_found_is_answered_with_what_there_is() {
    let tables = ["kunden: nr* adresse kennwort gesperrt", "post: id* title"];
    let error = found(System::Flask, &tables).unwrap_err();
    assert!(error.contains("kunden, post") && error.contains("--map COLUMN=FIELD"), "{error}");
    let error = mapped(System::Flask, &tables, Some("kunden"), &[]).unwrap_err();
    assert!(error.contains("nr, adresse, kennwort, gesperrt") && error.contains("--map COLUMN=email"), "{error}");
    let error = mapped(System::Flask, &tables, Some("customers"), &[]).unwrap_err();
    assert_eq!(error, "there is no table customers; the tables are kunden, post");
    let error = mapped(System::Flask, &tables, Some("kunden"), &["mail=email"]).unwrap_err();
    assert!(error.contains("\"mail\"") && error.contains("nr, adresse"), "{error}");
    let map = ["adresse=email", "kennwort=password_hash", "gesperrt=disabled"];
    let layout = mapped(System::Flask, &tables, None, &map).unwrap();
    assert_eq!((layout.table.name.as_str(), layout.legacy_id.as_deref()), ("kunden", Some("nr")));
    assert_eq!(disabled(&layout), [("gesperrt", Disables::True)]);
    assert!(found(System::Flask, &[]).unwrap_err().contains("the database is empty"));
}

#[test]
fn hostile_names_are_listed_without_control_characters_and_in_bounds() {
    let texts: Vec<String> = (0..1000).map(|number| format!("t{number}\u{1b}[2J: id*")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let error = found(System::Flask, &texts).unwrap_err();
    assert!(!error.contains('\u{1b}') && error.contains("and 960 more") && error.len() < 2000, "{error}");
}

#[test]
fn fields_can_be_left_out() {
    let tables = tables(&["users: id* email encrypted_password locked_at name"]);
    let without = vec![Field::Disabled, Field::Name, Field::LegacyId, Field::PasswordHash];
    let layout = find(&Rules { without, ..rules(System::Devise) }, &tables, None, &[]).unwrap();
    assert!(layout.disabled.is_empty() && layout.names.is_empty() && layout.password.is_none());
    assert_eq!((layout.legacy_id, layout.table.key.as_deref()), (None, Some("id")));
}
