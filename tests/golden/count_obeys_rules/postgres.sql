SELECT 0, (c0)::text, NULL
FROM (SELECT (SELECT count(*)
    FROM "reviews" AS t1
    WHERE (t1."hidden" <> $1::boolean
      AND t1."stars" <= $2::bigint)) AS c0 ) AS b0
UNION ALL
SELECT 1, (c0)::text, (c1)::text
FROM (SELECT concat('{"id":', '"' || (t0."id")::text || '"', '}') AS c0, (t0."id")::text AS c1
  FROM "reviews" AS t0
  WHERE (t0."hidden" <> $3::boolean
    AND t0."stars" <= $4::bigint)
  ORDER BY t0."id"
  LIMIT $5::bigint) AS b1
