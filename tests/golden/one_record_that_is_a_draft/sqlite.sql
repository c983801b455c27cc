SELECT concat('{"id":"', t0."id", '","name":', json_quote(t0."name"), '}'), t0."_version"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."id" = ?3)
