SELECT concat('{"text":', to_json(t0."text")::text, ',"author":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t2."name")::text, '}') END, '}'), (t0."id")::text
FROM "reviews" AS t0
LEFT JOIN "customers" AS t2 ON t2."id" = t0."author_id"
AND t2."id" = $1::uuid
WHERE ((t0."hidden" <> $2::boolean
    OR t0."author_id" = $1::uuid)
  AND NOT (t0."author_id" IN (SELECT t1."id"
      FROM "customers" AS t1
      WHERE (t1."id" = $1::uuid
        AND t1."city" = $3::text))))
ORDER BY t0."id"
LIMIT $4::bigint
