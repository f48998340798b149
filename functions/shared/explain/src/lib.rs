//! `#[derive(Explain)]` beside thiserror's `#[derive(Error)]`: makes the text of `#[error("…")]`
//! available as code and values, so that a catalogue can render it in another language.
//!
//! The code is the one of `#[explain("…")]` on the type, for a variant followed by a dot and its
//! name in snake case: `form.not_number`. `#[error(transparent)]` and a text of one value alone
//! pass the explanation of that field on.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Member, Token, parse_macro_input,
};

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
    let mut arms = Vec::new();
    match &input.data {
        Data::Struct(data) => {
            let arm = Arm { path: quote!(Self), code, fields: &data.fields };
            arm.expand(&input.attrs, name.span(), &mut arms)?;
        }
        Data::Enum(data) => {
            for variant in &data.variants {
                let of_variant = &variant.ident;
                let arm = Arm {
                    path: quote!(Self::#of_variant),
                    code: format!("{code}.{}", snake_case(&of_variant.to_string())),
                    fields: &variant.fields,
                };
                arm.expand(&variant.attrs, of_variant.span(), &mut arms)?;
            }
        }
        Data::Union(_) => return Err(Error::new_spanned(name, "a union has no text")),
    }
    let (generics, of_type, bounds) = input.generics.split_for_impl();
    let explain = module();
    Ok(quote! {
        impl #generics #explain::Explain for #name #of_type #bounds {
            fn explain(&self) -> #explain::Explanation {
                #[allow(unused_imports)]
                use #explain::{Displayed as _, Explained as _};
                match self {
                    #(#arms)*
                }
            }
        }
    })
}

/// The module with the trait and its types.
fn module() -> Tokens {
    let core = Ident::new("greenlight_core", Span::call_site());
    quote!(::#core::explain)
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
    ) -> syn::Result<()> {
        let Self { path, code, fields } = self;
        let explain = module();
        let error = attribute(attributes, "error");
        let error = error.ok_or_else(|| Error::new(span, "`#[error(\"…\")]` is missing"))?;
        let text = error.parse_args::<Text>()?;
        let whole = match &text {
            Text::Transparent => fields.members().next(),
            Text::Format(text) => fields.members().find(|member| is_all_of(member, &text.value())),
        };
        let text = match (text, whole) {
            (_, Some(member)) => {
                arms.push(quote! {
                    #path { #member: error, .. } =>
                        #explain::Explanation::from_part((&&#explain::FieldOf(error)).part()),
                });
                return Ok(());
            }
            (Text::Transparent, None) => return Err(Error::new(span, "there is no field")),
            (Text::Format(text), None) => text,
        };
        let (mut patterns, mut values) = (Vec::new(), Vec::new());
        for (name, specification) in placeholders(&text.value()) {
            let is_field = |member: &Member| name_of(member) == name;
            let value = if let Some(member) = fields.members().find(is_field) {
                let value = format_ident!("value_{name}");
                patterns.push(quote!(#member: #value));
                quote!(#value)
            } else {
                let constant = Ident::new(&name, text.span());
                quote!((&#constant))
            };
            let part = if specification.is_empty() {
                quote!((&&#explain::FieldOf(#value)).part())
            } else {
                let format = format!("{{{specification}}}");
                quote!(#explain::Part::Text(format!(#format, #value)))
            };
            values.push(quote!((#name, #part)));
        }
        arms.push(quote! {
            #path { #(#patterns,)* .. } => #explain::Explanation::new(
                #code, ::std::string::ToString::to_string(self), [#(#values),*],
            ),
        });
        Ok(())
    }
}

fn name_of(member: &Member) -> String {
    match member {
        Member::Named(field) => field.to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

/// Whether the field alone is the text.
fn is_all_of(member: &Member, text: &str) -> bool {
    text == format!("{{{}}}", name_of(member))
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
