"""Reports as text, documents and Markdown. Pure: values in, text out; nothing is printed here."""
