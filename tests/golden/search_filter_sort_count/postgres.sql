SELECT 0, (c0)::text, NULL, NULL
FROM (SELECT (SELECT count(*)
    FROM "products" AS t1
    WHERE (t1."state" = $1::text
      AND (t1."released_at" IS NULL
        OR $2::timestamptz >= t1."released_at")
      AND t1."kind" <> $3::text
      AND t1."_terms" @@ $4::text::tsquery)) AS c0 ) AS b0
UNION ALL
SELECT 1, (c0)::text, (c1)::text, (c2)::text
FROM (SELECT concat('{"name":', to_json(t0."name")::text, ',"price":', '{"amount":' || (t0."price")::text || ',"currency":"' || 'EUR' || '"}', '}') AS c0, (t0."price")::text AS c1, (t0."id")::text AS c2
  FROM "products" AS t0
  WHERE (t0."state" = $5::text
    AND (t0."released_at" IS NULL
      OR $2::timestamptz >= t0."released_at")
    AND t0."kind" <> $6::text
    AND t0."_terms" @@ $7::text::tsquery)
  ORDER BY t0."price" DESC, t0."id" DESC
  LIMIT $8::bigint) AS b1
