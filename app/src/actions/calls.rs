//! How the house's calls travel: a form there, JSON back.
//!
//! On the server this is the ordinary way of server functions. In the browser one small caller
//! serves all of them, and the answer is read by [`Read`]; the ordinary client would bring the code
//! for streams along.

use super::forms::Fields;
use crate::acting::push_encoded;
use crate::browser;
use crate::lean::{Json, Lean, Read};
use leptos::server_fn::client::Client;
use leptos::server_fn::codec::{Encoding, Json as JsonBody};
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use leptos::server_fn::server::Server;
use leptos::server_fn::{Http, Protocol};
use send_wrapper::SendWrapper;
use std::marker::PhantomData;
use std::pin::Pin;

/// The way of the house's calls; `Way` says where the form travels: in the body or in the address.
pub struct Calls<Way>(PhantomData<Way>);

impl<Way, Input, Output, C, S, E> Protocol<Input, Lean<Output>, C, S, E> for Calls<Way>
where
    Way: Encoding,
    Http<Way, JsonBody>: Protocol<Input, Lean<Output>, C, S, E>,
    Input: Fields + Send,
    Output: Read,
    C: Client<E>,
    S: Server<E>,
    E: FromServerFnError + Read,
{
    const METHOD: http::Method = Way::METHOD;

    fn run_server<F, Fut>(
        request: S::Request,
        function: F,
    ) -> impl Future<Output = Result<S::Response, E>> + Send
    where
        F: Fn(Input) -> Fut + Send,
        Fut: Future<Output = Result<Lean<Output>, E>> + Send,
    {
        Http::<Way, JsonBody>::run_server(request, function)
    }

    fn run_client(
        path: &str,
        input: Input,
    ) -> impl Future<Output = Result<Lean<Output>, E>> + Send {
        let form = encoded(&input.fields());
        let in_address = Way::METHOD == http::Method::GET;
        // The browser has one thread.
        SendWrapper::new(async move {
            let (is_error, json) = call(path, in_address, form).await.ok_or_else(|| {
                let why = "no answer".to_owned();
                E::from_server_fn_error(ServerFnErrorErr::Request(why))
            })?;
            if is_error {
                Err(read(&json).unwrap_or_else(|unreadable| unreadable))
            } else {
                read(&json)
            }
        })
    }
}

/// Whether it was the caller's form that could not be read, rather than the house that failed.
pub fn is_unreadable(error: &ServerFnErrorErr) -> bool {
    match error {
        ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) => true,
        // On the server the form's bytes are no text; in the browser the answer was not ours.
        ServerFnErrorErr::Deserialization(_) => cfg!(feature = "ssr"),
        ServerFnErrorErr::Registration(_)
        | ServerFnErrorErr::UnsupportedRequestMethod(_)
        | ServerFnErrorErr::Request(_)
        | ServerFnErrorErr::ServerError(_)
        | ServerFnErrorErr::MiddlewareError(_)
        | ServerFnErrorErr::Serialization(_)
        | ServerFnErrorErr::Response(_) => false,
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        push_encoded(&mut form, value);
    }
    form
}

fn read<T: Read, E: FromServerFnError>(json: &Json) -> Result<T, E> {
    T::read(json).ok_or_else(|| {
        let why = "not of the expected form".to_owned();
        E::from_server_fn_error(ServerFnErrorErr::Deserialization(why))
    })
}

/// Whether the answer is an error, and the answer as a tree; `None` if there is none.
type Answered = Option<(bool, Json)>;

/// Sends a form and reads the answer. Not generic, so that the bundle has it once.
fn call(
    path: &str,
    in_address: bool,
    form: String,
) -> Pin<Box<dyn Future<Output = Answered> + '_>> {
    Box::pin(async move {
        let (status, text) = browser::send(path, in_address, &form).await?;
        Some((status >= 400, Json::parse(&text).unwrap_or(Json::Null)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::SettleForm;

    #[test]
    fn a_form_travels_as_browsers_send_it() {
        let form = SettleForm {
            lot: "lot_1".into(),
            key: "a b&c=ü".into(),
            acting_as: "lena".into(),
            acting_in: String::new(),
        };
        assert_eq!(
            encoded(&form.fields()),
            "lot=lot_1&key=a%20b%26c%3D%C3%BC&acting_as=lena&acting_in="
        );
    }
}
