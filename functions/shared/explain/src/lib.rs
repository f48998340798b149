//! `#[derive(Explain)]` beside thiserror's `#[derive(Error)]`: makes the text of `#[error("…")]`
//! available as code and values, so that a catalogue can render it in another language.
//!
//! The code is the one of `#[explain("…")]` on the type, for a variant followed by a dot and its
//! name in snake case: `form.not_number`. `#[error(transparent)]` passes the explanation of the
//! field on.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Token, parse_macro_input};

/// Implements `greenlight_core::explain::Explain` by the `#[error("…")]` attributes.
#[proc_macro_derive(Explain, attributes(error, explain))]
pub fn derive_explain(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// The argument of `#[error(…)]`.
enum Text {
    Transparent,
    Format(LitStr),
}

impl Parse for Text {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(Ident) {
            return input.parse::<Ident>().map(|_| Self::Transparent);
        }
        let text = input.parse()?;
        let _: Option<Token![,]> = input.parse()?;
        if input.is_empty() {
            return Ok(Self::Format(text));
        }
        Err(input.error("a value must be a field, so that a catalogue can name it"))
    }
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let name = &input.ident;
    let code = attribute(&input.attrs, "explain")
        .ok_or_else(|| Error::new_spanned(name, "`#[explain(\"code\")]` is missing"))?
        .parse_args::<LitStr>()?
        .value();
    let (mut arms, mut texts) = (Vec::new(), Vec::new());
    match &input.data {
        Data::Struct(data) => {
            let arm = Arm { path: quote!(Self), code, fields: &data.fields };
            arm.expand(&input.attrs, name.span(), &mut arms, &mut texts)?;
        }
        Data::Enum(data) => {
            for variant in &data.variants {
                let of_variant = &variant.ident;
                let arm = Arm {
                    path: quote!(Self::#of_variant),
                    code: format!("{code}.{}", snake_case(&of_variant.to_string())),
                    fields: &variant.fields,
                };
                arm.expand(&variant.attrs, of_variant.span(), &mut arms, &mut texts)?;
            }
        }
        Data::Union(_) => return Err(Error::new_spanned(name, "a union has no text")),
    }
    let (generics, of_type, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::greenlight_core::explain::Explain for #name #of_type #bounds {
            const TEXTS: &'static [(&'static str, &'static str)] = &[#(#texts),*];

            fn explain(&self) -> ::greenlight_core::explain::Explanation {
                #[allow(unused_imports)]
                use ::greenlight_core::explain::{Displayed as _, Explained as _};
                match self {
                    #(#arms)*
                }
            }
        }
    })
}

/// A struct, or a variant of an enum.
struct Arm<'a> {
    path: Tokens,
    code: String,
    fields: &'a Fields,
}

impl Arm<'_> {
    fn expand(
        &self,
        attributes: &[Attribute],
        span: Span,
        arms: &mut Vec<Tokens>,
        texts: &mut Vec<Tokens>,
    ) -> syn::Result<()> {
        let Self { path, code, fields } = self;
        let error = attribute(attributes, "error");
        let error = error.ok_or_else(|| Error::new(span, "`#[error(\"…\")]` is missing"))?;
        let text = match error.parse_args::<Text>()? {
            Text::Transparent => {
                let member = fields.members().next();
                let member = member.ok_or_else(|| Error::new(span, "there is no field"))?;
                arms.push(quote! {
                    #path { #member: error, .. } =>
                        ::greenlight_core::explain::Explanation::from_part(
                            (&&::greenlight_core::explain::Value(error)).part()
                        ),
                });
                return Ok(());
            }
            Text::Format(text) => text,
        };
        let (mut patterns, mut values) = (Vec::new(), Vec::new());
        for (name, specification) in placeholders(&text.value()) {
            let is_field = |member: &syn::Member| match member {
                syn::Member::Named(field) => *field == name,
                syn::Member::Unnamed(index) => index.index.to_string() == name,
            };
            let value = if let Some(member) = fields.members().find(is_field) {
                let value = format_ident!("value_{name}");
                patterns.push(quote!(#member: #value));
                quote!(#value)
            } else {
                let constant = Ident::new(&name, text.span());
                quote!((&#constant))
            };
            let part = if specification.is_empty() {
                quote!((&&::greenlight_core::explain::Value(#value)).part())
            } else {
                let format = format!("{{{specification}}}");
                quote!(::greenlight_core::explain::Part::Text(format!(#format, #value)))
            };
            values.push(quote!((#name, #part)));
        }
        texts.push(quote!((#code, #text)));
        arms.push(quote! {
            #path { #(#patterns,)* .. } => ::greenlight_core::explain::Explanation::new(
                #code, ::std::string::ToString::to_string(self), [#(#values),*],
            ),
        });
        Ok(())
    }
}

fn attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.path().is_ident(name))
}

/// The names in a format string, each once, with their specifications: `{name}`, `{name:?}`.
fn placeholders(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let text = text.replace("{{", "").replace("}}", "");
    for part in text.split('{').skip(1) {
        let inside = part.split('}').next().unwrap_or_default();
        let (name, specification) = inside.split_at(inside.find(':').unwrap_or(inside.len()));
        if !found.iter().any(|(known, _)| known == name) {
            found.push((name.to_owned(), specification.to_owned()));
        }
    }
    found
}

/// `NotNumber`: `not_number`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_the_names_of_a_text_each_once() {
        let found = placeholders("`{place}` has a `${{` in {0}, {place:?}: {cause:#}");
        let expected = [("place", ""), ("0", ""), ("cause", ":#")];
        assert_eq!(found, expected.map(|(name, of)| (name.to_owned(), of.to_owned())));
    }
}
