SELECT concat('{"text":', to_json(t0."text")::text, ',"author":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t1."name")::text, '}') END, '}'), (t0."id")::text
FROM "reviews" AS t0
LEFT JOIN "customers" AS t1 ON t1."id" = t0."author_id"
AND t1."id" = $1::uuid
WHERE ((t0."hidden" <> $2::boolean
    OR t0."author_id" = $1::uuid)
  AND t0."product_id" = $3::uuid)
ORDER BY t0."id"
LIMIT $4::bigint
