SELECT 0, (c0)::text, NULL
FROM (SELECT (SELECT count(*)
    FROM (SELECT 1
      FROM "products" AS t1
      WHERE (t1."state" = $1::text
        AND (t1."released_at" IS NULL
          OR $2::timestamptz >= t1."released_at")
        AND t1."kind" = $3::text)
      LIMIT 10001) AS capped) AS c0 ) AS b0
UNION ALL
SELECT 1, (c0)::text, (c1)::text
FROM (SELECT concat('{"id":', '"' || (t0."id")::text || '"', '}') AS c0, (t0."id")::text AS c1
  FROM "products" AS t0
  WHERE (t0."state" = $4::text
    AND (t0."released_at" IS NULL
      OR $2::timestamptz >= t0."released_at")
    AND t0."kind" = $5::text)
  ORDER BY t0."id"
  LIMIT $6::bigint) AS b1
