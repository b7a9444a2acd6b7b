//! Types of objects, decided from their content.
