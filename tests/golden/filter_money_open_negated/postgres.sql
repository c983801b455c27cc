SELECT concat('{"name":', to_json(t0."name")::text, ',"deposit":', coalesce('{"amount":' || (t0."deposit")::text || ',"currency":"' || (t0."deposit_currency") || '"}', 'null'), '}'), (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."kind" = $3::text
  AND (NOT coalesce(t0."deposit_currency" = $4::text, FALSE)
    OR NOT coalesce(t0."deposit" >= $5::bigint, FALSE)))
ORDER BY t0."id"
LIMIT $6::bigint
