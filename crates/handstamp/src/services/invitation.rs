//! Invites a person by mail, and creates the account when the invitation is accepted.

use handstamp_core::{
    AttemptKey, DisplayName, EmailAddress, GroupName, OneTimePurpose, Password, PasswordPolicy, UserId,
};

use super::hashing::Share;
use super::mail::MessageContent;
use super::one_time::refused_link;
use super::{ActError, Services, SignInCookies, parse_new_password};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, FieldErrors, Message, NewUser, OutboxKind, OwnedSession};
use crate::store::EmailTakenError;

/// A person to be invited.
pub(crate) struct Invite {
    name: String,
    email: EmailAddress,
    groups: Vec<GroupName>,
}

impl Invite {
    /// Parses the fields of an invitation. The name may be empty.
    ///
    /// # Errors
    /// What is wrong with each field.
    pub(crate) fn parse(name: &str, email: &str, groups: &[&str]) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        if !name.is_empty() {
            errors.check(Field::Name, DisplayName::parse(name));
        }
        let email = errors.check(Field::Email, EmailAddress::parse(email));
        let groups = groups.iter().map(|name| GroupName::parse(name)).collect::<Result<Vec<_>, _>>();
        let groups = errors.check(Field::Group, groups);
        match (email, groups) {
            (Some(email), Some(groups)) if errors.iter().next().is_none() => {
                Ok(Self { name: name.to_owned(), email, groups })
            }
            _ => Err(errors),
        }
    }
}

/// The fields of an accepted invitation.
pub(crate) struct AcceptInvitation {
    name: DisplayName,
    password: Password,
}

impl AcceptInvitation {
    /// Parses the fields. The password is checked as far as that needs no waiting.
    ///
    /// # Errors
    /// What is wrong with each field.
    pub(crate) fn parse(name: &str, password: &str, policy: &PasswordPolicy) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let name = errors.check(Field::Name, DisplayName::parse(name));
        let password = errors.check(Field::Password, parse_new_password(password, policy));
        match (name, password) {
            (Some(name), Some(password)) => Ok(Self { name, password }),
            _ => Err(errors),
        }
    }
}

/// The person whom an invitation is for.
pub(crate) struct Invited {
    pub(crate) name: String,
    pub(crate) email: EmailAddress,
}

impl Services {
    /// Invites a person, and returns the link of the invitation, which is mailed as well if this site sends mails.
    pub(crate) async fn invite(&self, context: &Context, invite: Invite) -> Result<String, ActError> {
        let Invite { name, email, groups } = invite;
        let existing = self.store.user_by_email(&email, self.sessions.now()).await?;
        if existing.is_some_and(|user| user.email_verified || user.disabled) {
            return Err(ActError::field(Field::Email, Message::EmailTaken));
        }
        let groups: Vec<&str> = groups.iter().map(GroupName::as_str).collect();
        let mut token = self.new_token(OneTimePurpose::AcceptInvitation, None, &email, None);
        token.content = serde_json::json!({ "name": name, "groups": groups }).to_string();
        let content = MessageContent::of(context, &name);
        let message = self.new_message(OutboxKind::Invitation, None, &email, &content, Some(token.id));
        let event = Event::UserInvited {};
        let entry = self.new_event(context, &event).with_message(self.mail_is_on().then_some(message));
        self.store.store_token(&token, entry).await?;
        self.outbox_changed();
        self.record(context, &event);
        Ok(self.link(&token))
    }

    /// Invites a person by mail alone: the operator does not see the link.
    ///
    /// # Errors
    /// As [`invite`](Self::invite), and when the site sends no mail.
    pub(crate) async fn mail_invitation(&self, context: &Context, invite: Invite) -> Result<(), ActError> {
        if !self.mail_is_on() {
            return Err(ActError::field(Field::Email, Message::NoMailForOperators));
        }
        self.invite(context, invite).await.map(drop)
    }

    /// The person whom the invitation of a link is for.
    pub(crate) async fn invited(&self, link: &str) -> Result<Invited, ActError> {
        let token = self.find_link(link, OneTimePurpose::AcceptInvitation).await?;
        let (name, _) = parse_content(&token.content);
        Ok(Invited { name, email: token.email })
    }

    /// Accepts an invitation: creates the account, whose address is verified by it, and begins a remembered session. An account with
    /// this address that was never verified is taken over, and what was there before ends.
    pub(crate) async fn accept_invitation(
        &self,
        context: &Context,
        link: &str,
        accept: AcceptInvitation,
        previous_sessions: &[OwnedSession],
    ) -> Result<SignInCookies, ActError> {
        let purpose = OneTimePurpose::AcceptInvitation;
        let AcceptInvitation { name, password } = accept;
        let token = self.find_link(link, purpose).await?;
        let (_, groups) = parse_content(&token.content);
        // Each use costs a strength estimate and a hash.
        self.count_link_use(token.id).await?;
        let share = Share { network: context.client.network, account: AttemptKey::account(&token.email) };
        let permit = self.hashing.reserve(share).await?;
        let hashed = self.hash_new_password(permit, password, name.as_str(), token.email.as_str()).await?;
        let hash = hashed.map_err(|refusal| ActError::field(Field::Password, refusal))?;
        let existing = self.store.user_by_email(&token.email, self.sessions.now()).await?;
        let id = existing.map(|user| user.id);
        let id = id.unwrap_or_else(|| UserId::new(self.environment.now(), self.environment.random()));
        let (session, issued) = self.sessions.begin(id, self.session_lifetime(true), &context.client);
        let user = NewUser {
            id,
            name,
            email: token.email,
            password_hash: Some(hash),
            created_at: session.created_at,
            email_verified_at: Some(session.created_at),
            token: None,
        };
        let used = self.open_link(link, purpose)?;
        let event = Event::UserCreated { user: id };
        let entry = self.new_event(context, &event).in_session(session.session_id);
        let accepted = self.store.accept_invitation(used, &user, &groups, &session, previous_sessions, entry).await?;
        let accepted = self.sessions.wait_until_applied(accepted).await?.ok_or_else(|| refused_link("used"))?;
        accepted.map_err(|EmailTakenError| refused_link("address_taken"))?;
        self.record(context, &event);
        Ok(self.complete_sign_in(session.owned(), Some(used.now), issued, &context.client))
    }
}

/// The name and the groups of an invitation.
fn parse_content(text: &str) -> (String, Vec<GroupName>) {
    let content: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let groups = content["groups"].as_array().into_iter().flatten().filter_map(|group| group.as_str());
    let groups = groups.filter_map(|group| GroupName::parse(group).ok()).collect();
    (content["name"].as_str().unwrap_or_default().to_owned(), groups)
}
