//! Users, their keys and tokens, and signing in and out.

use super::{Client, ClientError, REQUEST_LIMIT};
use crate::{
    ChangeUser, CreateLogin, CreateSshKey, CreateToken, CreateUser, Endpoint, Me, PageQuery, SshKey,
    SshKeyList, Token, TokenList, User, UserList, keys, tokens, users,
};

/// All of them fail as [`ClientError`] says. `user` is an id, a name, or `me`.
impl Client {
    /// Exchanges a one-time code for a token, which gets this name.
    pub async fn login(&self, code: &str, name: &str) -> Result<Token, ClientError> {
        self.may_carry_secrets()?;
        let login = CreateLogin {
            code: code.to_owned(),
            name: name.to_owned(),
        };
        self.call_with(&tokens::LOGIN, &[], &login).await
    }

    /// Revokes the token that this client asks with.
    pub async fn logout(&self) -> Result<(), ClientError> {
        self.done(&tokens::LOGOUT, &[]).await
    }

    /// Makes another token like the one that this client asks with. It is never sent twice: only the first answer
    /// shows the token, and one that nobody has seen is of no use.
    pub async fn token_renew(&self) -> Result<Token, ClientError> {
        self.answer(self.request(&tokens::RENEW, &[])?).await
    }

    /// Who asks.
    pub async fn me(&self) -> Result<Me, ClientError> {
        self.call(&users::ME, &[]).await
    }

    /// Users, by name.
    pub async fn user_list(&self, page: &PageQuery) -> Result<UserList, ClientError> {
        let request = self.request(&users::LIST, &[])?;
        self.answer(request.query(page)).await
    }

    /// A user.
    pub async fn user_get(&self, user: &str) -> Result<User, ClientError> {
        self.call(&users::GET, &[user]).await
    }

    /// Makes a user. The answer holds the one-time code, this once.
    pub async fn user_create(&self, user: &CreateUser) -> Result<User, ClientError> {
        self.call_with(&users::CREATE, &[], user).await
    }

    /// Gives a user another role.
    pub async fn user_change(&self, user: &str, change: &ChangeUser) -> Result<User, ClientError> {
        self.call_with(&users::CHANGE, &[user], change).await
    }

    /// Removes a user. What it owns goes to `transfer_to`.
    pub async fn user_delete(&self, user: &str, transfer_to: Option<&str>) -> Result<(), ClientError> {
        let mut request = self.request(&users::DELETE, &[user])?;
        if let Some(heir) = transfer_to {
            request = request.query(&[("transfer_to", heir)]);
        }
        self.send(request.timeout(REQUEST_LIMIT)).await.map(drop)
    }

    /// Lets a user in again.
    pub async fn user_enable(&self, user: &str) -> Result<User, ClientError> {
        self.call(&users::ENABLE, &[user]).await
    }

    /// Keeps a user out.
    pub async fn user_disable(&self, user: &str) -> Result<User, ClientError> {
        self.call(&users::DISABLE, &[user]).await
    }

    /// Makes a new one-time code for a user. The answer holds it, this once.
    pub async fn user_code(&self, user: &str) -> Result<User, ClientError> {
        self.call(&users::CODE, &[user]).await
    }

    /// The keys of an account, oldest first.
    pub async fn key_list(&self, user: &str, page: &PageQuery) -> Result<SshKeyList, ClientError> {
        let request = self.request(&keys::LIST, &[user])?;
        self.answer(request.query(page)).await
    }

    /// A key of an account.
    pub async fn key_get(&self, user: &str, fingerprint: &str) -> Result<SshKey, ClientError> {
        self.call(&keys::GET, &[user, fingerprint]).await
    }

    /// Adds a key to an account.
    pub async fn key_create(&self, user: &str, key: &CreateSshKey) -> Result<SshKey, ClientError> {
        self.call_with(&keys::CREATE, &[user], key).await
    }

    /// Removes a key from an account.
    pub async fn key_delete(&self, user: &str, fingerprint: &str) -> Result<(), ClientError> {
        self.done(&keys::DELETE, &[user, fingerprint]).await
    }

    /// The tokens of an account, oldest first.
    pub async fn token_list(&self, user: &str, page: &PageQuery) -> Result<TokenList, ClientError> {
        let request = self.request(&tokens::LIST, &[user])?;
        self.answer(request.query(page)).await
    }

    /// A token of an account, without its text.
    pub async fn token_get(&self, user: &str, token: &str) -> Result<Token, ClientError> {
        self.call(&tokens::GET, &[user, token]).await
    }

    /// Makes a token for an account. The answer holds its text, this once.
    pub async fn token_create(&self, user: &str, token: &CreateToken) -> Result<Token, ClientError> {
        self.call_with(&tokens::CREATE, &[user], token).await
    }

    /// Revokes a token of an account.
    pub async fn token_delete(&self, user: &str, token: &str) -> Result<(), ClientError> {
        self.done(&tokens::DELETE, &[user, token]).await
    }

    /// Asks for what is answered without a body.
    async fn done(&self, endpoint: &Endpoint, values: &[&str]) -> Result<(), ClientError> {
        let request = self.request(endpoint, values)?;
        self.send(request.timeout(REQUEST_LIMIT)).await.map(drop)
    }
}
