SELECT concat('{"number":', t0."number", '}'), t0."id"
FROM "orders" AS t0
WHERE (t0."customer_id" = ?1
  AND EXISTS (SELECT 1
    FROM "order_items" AS t1
    WHERE t1."order_id" = t0."id"
    AND (t0."customer_id" = ?1
      AND t1."quantity" = ?2
      AND EXISTS (SELECT 1
        FROM "products" AS t2
        WHERE t2."id" = t1."product_id"
        AND (t2."state" = ?3
          AND (t2."released_at" IS NULL
            OR ?4 >= t2."released_at")
          AND EXISTS (SELECT 1
            FROM "reviews" AS t3
            WHERE t3."product_id" = t2."id"
            AND ((t3."hidden" <> ?5
                OR t3."author_id" = ?1)
              AND t3."stars" < ?6)))))))
ORDER BY t0."id"
LIMIT ?7
