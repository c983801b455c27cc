"""What is declared: models, fields, relations, predicates and rules, resolved into one `Schema`."""
