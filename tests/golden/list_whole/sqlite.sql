SELECT concat('{"id":"', t0."id", '","created_at":"', t0."created_at", '","updated_at":"', t0."updated_at", '","name":', json_quote(t0."name"), ',"internal":', CASE t0."internal" WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END, '}'), t0."id"
FROM "labels" AS t0
WHERE t0."internal" <> ?1
ORDER BY t0."id"
LIMIT ?2
