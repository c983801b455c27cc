SELECT concat('{"name":', json_quote(t0."name"), '}')
FROM "products" AS t0
WHERE t0."_row" IN (SELECT rowid
  FROM "products__search"
  WHERE "products__search" MATCH ?2)
ORDER BY (SELECT coalesce(sum(instr(t0."_words", ' ' || value)), 0)
  FROM json_each(?1)), t0."id"
LIMIT ?3
