SELECT 0, (c0)::text, NULL
FROM (SELECT (SELECT count(*)
    FROM "products" AS t1
    WHERE t1."state" = $1::text) AS c0 ) AS b0
UNION ALL
SELECT 1, (c0)::text, (c1)::text
FROM (SELECT concat('{"id":', '"' || (t0."id")::text || '"', '}') AS c0, (t0."id")::text AS c1
  FROM "products" AS t0
  WHERE t0."state" = $2::text
  ORDER BY t0."id"
  LIMIT $3::bigint) AS b1
