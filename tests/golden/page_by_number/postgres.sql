SELECT 0, (c0)::text, NULL, NULL
FROM (SELECT (SELECT count(*)
    FROM "products" AS t1
    WHERE (t1."state" = $1::text
      AND (t1."released_at" IS NULL
        OR $2::timestamptz >= t1."released_at"))) AS c0 ) AS b0
UNION ALL
SELECT 1, (c0)::text, (c1)::text, (c2)::text
FROM (SELECT concat('{"name":', to_json(t0."name")::text, '}') AS c0, (t0."name")::text AS c1, (t0."id")::text AS c2
  FROM "products" AS t0
  WHERE (t0."state" = $3::text
    AND (t0."released_at" IS NULL
      OR $2::timestamptz >= t0."released_at"))
  ORDER BY t0."name", t0."id"
  LIMIT $4::bigint OFFSET $5::bigint) AS b1
