SELECT concat('{"name":', to_json(t0."name")::text, ',"price":', '{"amount":' || (t0."price")::text || ',"currency":"' || 'EUR' || '"}', '}'), (t0."price")::text, (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND (t0."price", t0."id") < ($3::text::bigint, $4::text::uuid))
ORDER BY t0."price" DESC, t0."id" DESC
LIMIT $5::bigint
