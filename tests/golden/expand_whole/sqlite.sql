SELECT concat('{"id":"', t0."id", '","created_at":"', t0."created_at", '","updated_at":"', t0."updated_at", '","name":', json_quote(t0."name"), ',"slug":"', t0."slug", '","parent":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"id":"', t1."id", '","created_at":"', t1."created_at", '","updated_at":"', t1."updated_at", '","name":', json_quote(t1."name"), ',"slug":"', t1."slug", '","parent":', json_quote(t1."parent_id"), '}') END, '}'), t0."id"
FROM "categories" AS t0
LEFT JOIN "categories" AS t1 ON t1."id" = t0."parent_id"
WHERE t0."slug" = ?1
ORDER BY t0."id"
LIMIT ?2
